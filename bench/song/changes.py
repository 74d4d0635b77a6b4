"""How much the spectrum changes at a place of a song, beside everywhere else."""

import statistics
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_FRAME_SEC = 0.032
_FLOOR = 1e-4
"""Added to magnitudes before the logarithm, so that silence is not infinitely far from silence."""


@dataclass(frozen=True, slots=True)
class Change:
    """How much the spectrum changes at a place, how much elsewhere, and its rank among those."""

    db: float
    db_elsewhere: float
    rank: float


def frame_samples(rate_hz: int) -> int:
    """A power of two, about 32 ms."""
    return int(2 ** round(np.log2(_FRAME_SEC * rate_hz)))


def change_near(sound: Tensor, place: int, frame: int) -> Change:
    """The largest of three changes a quarter of a frame apart, at a place and everywhere else."""
    steps = [-frame // 4, 0, frame // 4]

    def largest(near: int) -> float:
        return max(change_at(sound, near + step, frame) for step in steps)

    places = range(2 * frame, len(sound) - 2 * frame, frame)
    place = min(max(place, places.start), places.stop)
    others = [largest(each) for each in places if abs(each - place) > 2 * frame]
    db = largest(place)
    return Change(db, statistics.mean(others), statistics.mean(other < db for other in others))


def change_at(sound: Tensor, place: int, frame_samples: int) -> float:
    """How much the spectrum changes at a sample, in dB: root mean square over frequencies of the
    log magnitudes of the frame that begins there against the frame that ends there.
    """
    frames = sound[place - frame_samples : place + frame_samples].double().view(2, -1)
    magnitudes = torch.fft.rfft(frames * torch.hann_window(frame_samples)).abs()
    before, after = 20.0 * torch.log10(magnitudes / frame_samples + _FLOOR)
    return float((after - before).square().mean().sqrt())
