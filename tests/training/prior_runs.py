"""Small priors, songs and runs that the tests of training share."""

from dataclasses import replace

import numpy as np

from jukebox_core.audio import write_audio
from jukebox_core.labels import SongLabels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.tiny import tiny_config
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.training.dataset.new_model import new_model
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.priors.task import PriorTask
from jukebox_core.training.priors.windows import PriorSong
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.test_data import write_songs

KINDS = ["separate lyrics", "merged lyrics", "middle", "bottom"]


def prior_config(kind, *, context_tokens=64):
    """The configuration of a small prior of one of `KINDS`."""
    level = {"middle": Level.MIDDLE, "bottom": Level.BOTTOM}.get(kind, Level.TOP)
    config = tiny_config().prior(level)
    stack = replace(config.transformer, context_tokens=context_tokens)
    lyrics = config.lyrics
    if kind == "merged lyrics":
        lyrics = replace(lyrics, encoder=None, alignment_layer=2)
        stack = replace(
            stack,
            layers=("row", "column", "lyric_prefix"),
            context_tokens=context_tokens + lyrics.num_tokens,
        )
    return replace(config, context_tokens=context_tokens, transformer=stack, lyrics=lyrics)


def random_songs(config, num_songs, *, num_tokens, seed=0):
    """Songs of random codes, each with its own artist, genre and lyrics."""
    random = np.random.default_rng(seed)
    ratio = config.conditioner.upsampling if config.conditioner else 1
    return [
        PriorSong(
            name=str(number),
            labels=SongLabels(
                artist_id=1 + number,
                genre_ids=(1 + number,),
                lyric_ids=tuple(random.integers(1, 70, 40).tolist()) if config.lyrics else (),
            ),
            codes=random.integers(256, size=num_tokens).astype(np.int16),
            upper=(
                random.integers(256, size=num_tokens // ratio).astype(np.int16)
                if config.conditioner
                else None
            ),
            characters=(
                (np.arange(num_tokens) * 40 // num_tokens).astype(np.int32)
                if config.lyrics
                else None
            ),
            total_samples=num_tokens * config.samples_per_token,
        )
        for number in range(num_songs)
    ]


def small_prior(config):
    """An untrained prior of `config`."""
    return JukeboxPrior(config).train()


def write_noise(folder, num_songs=5, *, seconds=1.1):
    """A folder of noisy songs with artists, genres and timed lyrics; the last two are held out."""
    random = np.random.default_rng(0)
    rows = []
    folder.mkdir(exist_ok=True)
    for number in range(num_songs):
        name = f"{number}.wav"
        noise = random.standard_normal(int(seconds * 16_000)).astype(np.float32)
        write_audio(folder / name, noise * np.float32(0.1 * (1 + number)), 16_000)
        starts = [0.2, None, 0.6]
        rows.append(
            {
                "file": name,
                "artist": f"artist {number % 2}",
                "genre": f"genre{number % 3}",
                "lyrics": ["a b", "o u", "e i"][number % 3],
                "character_start_sec": starts,
                "character_end_sec": [None if t is None else t + 0.2 for t in starts],
                "held_out": number >= num_songs - 2,
            }
        )
    return write_songs(folder, rows)


def prior_task(tmp_path, level, settings=None, prior_settings=None, *, num_songs=5):
    """A task in `tmp_path`, whose `data` and `model` are made the first time."""
    data_dir, model_dir = tmp_path / "data", tmp_path / "model"
    if not model_dir.exists():
        new_model(write_noise(data_dir, num_songs), model_dir, like="tiny")
    return PriorTask(
        level,
        TrainingData(data_dir, 16_000),
        model_dir,
        settings or TrainingSettings(steps=4, batch_size=2, log_every=1),
        prior_settings or PriorSettings(evaluation_windows=4),
    )
