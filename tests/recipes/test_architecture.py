"""The architecture that the recipe trains, and the model that ships."""

import os
import subprocess
import sys
import tomllib
from dataclasses import replace

from jukebox_core.checkpoints.load import read_directory_config
from jukebox_core.config.vqvae import PostFilterConfig
from jukebox_core.models.catalog import locate_model
from recipes.mini.architecture import mini_config, write_architecture
from tests.docs.pages import ROOT


def test_the_bundled_mini_has_the_architecture_of_its_recipe():
    bundled = read_directory_config(locate_model("mini"))
    labels = bundled.priors[0].labels
    config = mini_config(num_artists=labels.num_artists, num_genres=labels.num_genres)
    # The last step of the recipe, `train post-filter`, puts its filter behind the codec.
    vqvae = replace(config.vqvae, post_filter=PostFilterConfig())
    described = {"description": bundled.description, "licence": bundled.licence}
    assert bundled == replace(config, vqvae=vqvae, **described)


def test_the_written_architecture_is_what_a_new_model_is_made_of(tmp_path):
    write_architecture(tmp_path / "architecture")
    read = read_directory_config(tmp_path / "architecture")
    assert read == mini_config(num_artists=1, num_genres=1)


def test_the_recipes_are_not_in_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert [pattern for pattern in included if pattern.startswith(("recipes", "*"))] == []


def test_every_command_of_the_recipe_script_is_there(tmp_path):
    """A dry run: both programs are replaced by `echo`, in a folder where no step is done."""
    script = ROOT / "recipes" / "mini" / "recipe.sh"
    done = subprocess.run(
        ["bash", str(script), str(tmp_path / "work")],
        env={"PATH": os.environ["PATH"], "JUKEBOX": "echo", "PYTHON": "echo"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    modules = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("-m ")]
    assert set(modules) == {
        "recipes.mini.architecture",
        "recipes.mini.synth",
        "recipes.mini.evaluate",
    }
    for module in set(modules) - {"recipes.mini.architecture"}:
        subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=300,
        )
