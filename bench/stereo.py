"""What stereo costs, and what is left of it in mono. `python -m bench.stereo [MODEL]`.

Songs are drawn in mono and in stereo from the same seeds. The mean of the channels is compared with
one of them, band by band: 0 dB where both are the same, -3 dB where they have nothing in common.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.machine import describe_machine, tell
from jukebox_core import JukeboxModel

_BANDS_HZ = ((0, 250), (250, 1000), (1000, 4000), (4000, 24_000))
_WINDOW_SAMPLES = 1024

Sound = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = JukeboxModel.from_pretrained(options.model)
    songs = [_measured(model, seed, options.seconds) for seed in range(options.songs)]
    figures = {name: _mean([song[name] for song in songs]) for name in songs[0]}
    tell(
        describe_machine(torch.device("cpu"))
        | {"model": model.config.name, "songs": options.songs, "seconds": options.seconds}
        | figures
    )


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
    vocabulary = next(iter(model.tokenizer.vocabularies.values()))
    artists, genres = list(vocabulary.artists), list(vocabulary.genres)
    labels = model.tokenizer(
        artists[seed % len(artists)], genres[seed % len(genres)], "one two three four"
    )
    began = time.monotonic()
    codes = model.ancestral_sample(labels, duration_sec=seconds, seed=seed, channels=channels)
    sound = model.decode(codes)[0].numpy()
    return sound, time.monotonic() - began


def _bands(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Energy in each band, float64 [bands]."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW_SAMPLES)
    windowed = frames[:: _WINDOW_SAMPLES // 2] * np.hanning(_WINDOW_SAMPLES)
    power = (np.abs(np.fft.rfft(windowed)) ** 2).mean(axis=0)
    hz = np.fft.rfftfreq(_WINDOW_SAMPLES, 1.0 / rate_hz)
    return np.array([power[(hz >= low) & (hz < high)].sum() for low, high in _BANDS_HZ])


def _mean(values: Sequence[float]) -> float:
    """To four digits that count."""
    return float(f"{statistics.mean(values):.4g}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.stereo", description=__doc__)
    parser.add_argument("model", nargs="?", default="mini", help="directory, or mini")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each song")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
