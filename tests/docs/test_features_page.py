"""The example on the page about features runs as it stands."""

import os
import subprocess
import sys

import numpy as np

from jukebox_core.audio.files import write_blocks
from tests.docs.pages import blocks_of


def test_the_example_in_python_gives_features(tmp_path, models_dir):
    (block,) = blocks_of("docs/guides/features.md", "features")
    os.symlink(models_dir, tmp_path / "models")
    noise = np.random.default_rng(0).integers(-9999, 9999, 32_000).astype(np.int16)
    write_blocks(tmp_path / "song.wav", [noise], sample_rate_hz=16_000)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, ")
