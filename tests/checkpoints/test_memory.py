"""Loading gigabytes takes no more memory than the largest prior, in whatever format they come."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jukebox_core.units import COARSE_TO_FINE, Level
from tests.checkpoints.large_models import prior_bytes, write_large

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOWED = 1.1
"""Times the size of one prior."""


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    """Two gigabytes in float32; they go as soon as these tests are done."""
    directory = tmp_path_factory.mktemp("large") / "model"
    write_large(directory)
    yield directory
    for file in directory.iterdir():
        file.unlink()


def peak_bytes(how: str, directory: Path) -> int:
    """What a process of its own took at most to load the model, besides its libraries."""
    command = [sys.executable, "-W", "error", "-m", "tests.checkpoints.large_models"]
    done = subprocess.run(
        [*command, how, str(directory)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_whole_model_is_mapped_and_not_read(large_model):
    assert sum(prior_bytes(level) for level in COARSE_TO_FINE) > 2e9
    assert peak_bytes("mapped", large_model) < 0.1 * prior_bytes(Level.TOP)


def test_priors_used_one_after_the_other_take_the_memory_of_the_largest(large_model):
    assert peak_bytes("used", large_model) < ALLOWED * prior_bytes(Level.TOP)


def test_priors_brought_to_half_precision_take_the_memory_of_the_result(large_model):
    half = prior_bytes(Level.TOP, torch.float16)
    assert half < 0.6 * prior_bytes(Level.TOP)
    assert peak_bytes("half", large_model) < ALLOWED * half


def test_a_model_becomes_int8_on_disk_tensor_by_tensor(large_model):
    assert peak_bytes("int8", large_model) < 0.15 * prior_bytes(Level.TOP)


@pytest.mark.parametrize("write", ["write_openai", "write_old_openai"])
def test_a_checkpoint_of_the_original_takes_the_memory_of_its_prior(large_model, write):
    peak_bytes(write, large_model)
    # To half precision, which is the harder case: nothing of it can stay as it is in the file.
    assert peak_bytes("openai", large_model) < ALLOWED * prior_bytes(Level.TOP)
