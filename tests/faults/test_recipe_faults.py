"""The recipe of `mini` in its smallest size, killed on its way from nothing to a packed model."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from jukebox_core.checkpoints.load import read_directory_config
from recipes.mini.architecture import mini_config
from tests.docs.pages import ROOT

pytestmark = pytest.mark.faults

TIMEOUT_SEC = 1800
NUM_RUNS = 7
"""Three levels of the codec, three priors, and the post-filter."""


@pytest.fixture
def start_recipe(tmp_path):
    """Starts the recipe in `tmp_path`, in a process group that does not outlive the test."""
    command = tmp_path / "jukebox"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli.main "$@"\n')
    command.chmod(0o755)
    started = []

    def start():
        with (tmp_path / "recipe.log").open("wb") as log:
            recipe = subprocess.Popen(
                ["bash", ROOT / "recipes" / "mini" / "recipe.sh", tmp_path, "trial"],
                env=os.environ | {"JUKEBOX": str(command), "PYTHON": sys.executable},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(recipe)
        return recipe

    yield start
    for recipe in started:
        kill(recipe)


def kill(recipe):
    """End the recipe and all that it started, as an outage would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(recipe.pid, signal.SIGKILL)
    recipe.wait()


def modified(path):
    """When a file was last written, in nanoseconds."""
    return path.stat().st_mtime_ns


def test_a_killed_recipe_goes_on_to_a_packed_model_without_repeating_what_was_done(
    tmp_path, start_recipe
):
    songs, first_run = tmp_path / "data" / "songs.json", tmp_path / "runs" / "vqvae-top"
    recipe, deadline = start_recipe(), time.monotonic() + TIMEOUT_SEC
    while not (first_run / "state.pt").is_file():
        assert recipe.poll() is None, (tmp_path / "recipe.log").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kill(recipe)
    done = [modified(songs), modified(first_run / "state.pt")]

    recipe = start_recipe()
    assert recipe.wait(TIMEOUT_SEC) == 0, (tmp_path / "recipe.log").read_text()[-2000:]
    assert [modified(songs), modified(first_run / "state.pt")] == done
    assert len(list(tmp_path.glob("runs/*/state.pt"))) == NUM_RUNS
    assert (tmp_path / "core-hours.txt").read_text().endswith("core-hours\n")
    packed = read_directory_config(tmp_path / "mini")
    assert packed.vqvae.num_codes == mini_config(num_artists=1, num_genres=1).vqvae.num_codes
    assert packed.vqvae.post_filter is not None
