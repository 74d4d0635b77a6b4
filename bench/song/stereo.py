"""What does stereo cost, and what is left of it in mono?

Songs are drawn in mono and in stereo from the same seeds. The mean of the channels is compared with
one of them, band by band: 0 dB where both are the same, -3 dB where they have nothing in common.
"""

import argparse
import statistics
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.report import Figures, significant
from bench.song.songs import add_model, add_song_options, labels_of
from jukebox_core import JukeboxModel

_BANDS_HZ = ((0, 250), (250, 1000), (1000, 4000), (4000, 24_000))
_WINDOW_SAMPLES = 1024

Sound = NDArray[np.float32]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which songs."""
    add_model(parser)
    add_song_options(parser, songs=8, seconds=6.0)


def measure(options: argparse.Namespace) -> Figures:
    """Means over songs."""
    model = JukeboxModel.from_pretrained(options.model)
    songs = [_measured(model, seed, options.seconds) for seed in range(options.songs)]
    return {"model": model.config.name, "songs": options.songs, "seconds": options.seconds} | {
        name: significant(statistics.mean(song[name] for song in songs)) for name in songs[0]
    }


def _measured(model: JukeboxModel, seed: int, seconds: float) -> Mapping[str, float]:
    """Seconds of work, and decibels of the mean of both channels against one channel."""
    _, mono_sec = _song(model, seed, seconds, 1)
    sound, stereo_sec = _song(model, seed, seconds, 2)
    left, right = sound.T
    rate_hz = model.config.vqvae.sample_rate_hz
    one = (_bands(left, rate_hz) + _bands(right, rate_hz)) / 2
    both = _bands((left + right) / 2, rate_hz)
    losses = 10.0 * np.log10(both / one)
    names = [f"mono_db_{low}_to_{high}_hz" for low, high in _BANDS_HZ]
    return {
        "mono_sec": mono_sec,
        "stereo_sec": stereo_sec,
        "cost": stereo_sec / mono_sec,
        "correlation": float(np.corrcoef(left, right)[0, 1]),
        "mono_db": float(10.0 * np.log10(both.sum() / one.sum())),
        **{name: float(loss) for name, loss in zip(names, losses, strict=True)},
    }


def _song(model: JukeboxModel, seed: int, seconds: float, channels: int) -> tuple[Sound, float]:
    """The sound of a song, float32 [samples, channels], and the seconds it took."""
    began = time.monotonic()
    codes = model.ancestral_sample(
        labels_of(model, seed), duration_sec=seconds, seed=seed, channels=channels
    )
    sound = model.decode(codes)[0].numpy()
    return sound, time.monotonic() - began


def _bands(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Energy in each band, float64 [bands]."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW_SAMPLES)
    windowed = frames[:: _WINDOW_SAMPLES // 2] * np.hanning(_WINDOW_SAMPLES)
    power = (np.abs(np.fft.rfft(windowed)) ** 2).mean(axis=0)
    hz = np.fft.rfftfreq(_WINDOW_SAMPLES, 1.0 / rate_hz)
    return np.array([power[(hz >= low) & (hz < high)].sum() for low, high in _BANDS_HZ])
