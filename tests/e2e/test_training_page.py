"""The page on training leads from a folder of songs to a job that is sung."""

import shutil
from pathlib import Path

import pytest

from cli.commands.training import prior as train_prior
from cli.commands.training import steps as train_steps
from cli.commands.training.presets import PresetName
from tests.docs.pages import ROOT, blocks_of
from tests.e2e.conftest import jukebox, shell

PAGE = "docs/guides/training.md"


def test_every_option_of_training_a_prior_that_the_page_names_is_there():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    options = {"start_share", "label_dropout", "upper_noise", "guide_weight", "guide_final"}
    options |= {"bar_position_weight", "own_errors", "end_share"}
    assert options <= set(train_prior.prior.__annotations__)
    assert [name for name in options if f"--{name.replace('_', '-')}" not in page] == []


SMALL = {
    "--songs 10": "--songs 5 --seconds 3-4",
    "train new songs models/mine": "train new songs models/mine --like tiny",
    "--preset quick": "--preset quick --steps 4",
    "--seconds 10": "--seconds 3",
}
"""What makes the page's commands take a minute: fewer songs, a tiny model, four steps."""


def small_script():
    script = "\n".join(block.code for block in blocks_of(PAGE, "training"))
    for on_the_page, small in SMALL.items():
        assert on_the_page in script
        script = script.replace(on_the_page, small)
    return f"set -euo pipefail\n{script}"


def test_each_command_of_the_page_is_the_next_that_the_one_before_names():
    (block,) = blocks_of(PAGE, "training")
    songs, model = Path("songs"), Path("models/mine")
    named = [train_steps.after_new(songs, model)]
    for level in ("top", "middle", "bottom"):
        named.append(train_steps.after_vqvae(songs, model, level, PresetName.QUICK))
    named.append(train_steps.after_encode(songs, model))
    for level in ("top", "middle"):
        named.append(train_steps.after_prior(songs, model, level, PresetName.QUICK))
    assert block.code.strip().splitlines()[2:-1] == named


@pytest.mark.e2e
@pytest.mark.redis
def test_the_way_on_the_page_ends_with_a_model_that_sings_alone_and_in_the_service(
    stack, environment, tiny_models_dir, tmp_path
):
    checkout = environment | {"PYTHONPATH": str(ROOT)}
    shell(small_script(), environment=checkout, cwd=tmp_path, timeout=900)
    assert (tmp_path / "mine.wav").read_bytes().startswith(b"RIFF")
    served = tiny_models_dir / "mine"
    shutil.copytree(tmp_path / "models" / "mine", served)
    try:
        jukebox(
            *("submit", "--model", "mine", "--artist", "orlavane", "--seconds", "2"),
            *("-o", "served.wav"),
            environment=environment,
            cwd=tmp_path,
        )
    finally:
        shutil.rmtree(served)
    assert (tmp_path / "served.wav").read_bytes().startswith(b"RIFF")
