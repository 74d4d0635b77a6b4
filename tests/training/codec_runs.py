"""A codec small enough to be trained in a test; `python -m tests.training.codec_runs` does it.

Arguments: folder of songs, model directory, run directory, settings as JSON; and, if the process
should kill itself, the step before which it does.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from jukebox_core.audio import write_audio
from jukebox_core.checkpoints.native import write_config
from jukebox_core.tiny import tiny_config
from jukebox_core.training.codec.settings import VQVAELevelSettings
from jukebox_core.training.codec.task import VQVAETask
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.training.loop import train
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level

CODEC = tiny_config().vqvae
LEVEL_SETTINGS = VQVAELevelSettings(
    crop_samples=2048, log_magnitude_weight=0.2, vowel_weight=0.1, artist_weight=0.1
)


def write_tones(folder, *, num_songs=6, num_held_out=1, seconds=0.5):
    """Songs of half a second: two singers, who sing "la le" on different tones."""
    folder.mkdir()
    rows = []
    for number in range(num_songs):
        times = np.arange(int(seconds * 16_000)) / 16_000
        tone = np.sin(2 * np.pi * 110 * (1 + number % 2) * (1 + number // 2) * times)
        write_audio(folder / f"{number}.wav", (0.3 * tone).astype(np.float32), 16_000)
        rows.append(
            {
                "file": f"{number}.wav",
                "artist": ("ann", "bob")[number % 2],
                "genre": "hum",
                "lyrics": "la le",
                "character_start_sec": [0.0, 0.05, None, 0.25, 0.3],
                "character_end_sec": [0.05, 0.2, None, 0.3, 0.45],
                "held_out": number >= num_songs - num_held_out,
            }
        )
    (folder / "songs.json").write_text(json.dumps(rows))
    return folder


def write_untrained(folder, codec=CODEC):
    """A model directory with nothing but its configuration."""
    folder.mkdir()
    write_config(folder, replace(tiny_config(), vqvae=codec))
    return folder


def codec_task(
    data_dir,
    model_dir,
    settings,
    *,
    level=Level.BOTTOM,
    level_settings=LEVEL_SETTINGS,
    codec=CODEC,
):
    data = TrainingData(data_dir, codec.sample_rate_hz)
    return VQVAETask(level, codec, data, Path(model_dir), settings, level_settings)


def main() -> None:
    """Train as the arguments say."""
    data_dir, model_dir, run_dir, values, *last_step = sys.argv[1:]
    settings = TrainingSettings.from_dict(json.loads(values))
    task = codec_task(Path(data_dir), Path(model_dir), settings)
    task.export = lambda modules: None
    if last_step:
        _die_before(int(*last_step), task)
    train(task, settings, Path(run_dir))


def _die_before(last_step: int, task: VQVAETask) -> None:
    batch_of = task.batch

    def batch(step, micro, rank):
        if step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch_of(step, micro, rank)

    task.batch = batch


if __name__ == "__main__":
    main()
