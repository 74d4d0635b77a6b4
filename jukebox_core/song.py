"""What to sing: plain values, checked against a model before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jukebox_core.errors import SongError
from jukebox_core.units import COARSE_TO_FINE, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How one level is drawn.

    `temperature` divides the logits; then `top_k` keeps the k likeliest ids (0: all) and `top_p`
    the smallest set whose probability reaches p (0.0: all). `hop_fraction` is the part of a window
    that is new when the song is longer than one window; None takes the prior's own default.
    """

    temperature: float = 0.99
    top_k: int = 0
    top_p: float = 0.0
    hop_fraction: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0.0:
            raise SongError(f"{self.temperature=} must be above 0", field="temperature")
        if self.top_k < 0:
            raise SongError(f"{self.top_k=} must be 0 (off) or more", field="top_k")
        if not 0.0 <= self.top_p <= 1.0:
            raise SongError(f"{self.top_p=} must lie in [0, 1]", field="top_p")
        if self.hop_fraction is not None and not 0.0 < self.hop_fraction <= 1.0:
            raise SongError(f"{self.hop_fraction=} must lie in (0, 1]", field="hop_fraction")


def default_sampling() -> dict[Level, SamplingParams]:
    """Temperatures of the original's `sample.py`: 0.99 at every level."""
    return {level: SamplingParams() for level in COARSE_TO_FINE}


class Speed(StrEnum):
    """How the levels below the top are drawn."""

    EXACT = "exact"  # window after window, as the original does
    PARALLEL = "parallel"  # in segments side by side, which are joined: sooner, and not the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """One request to a model; `num_samples` takes of it are drawn, each with its own chance.

    `duration_sec` is what is drawn. `song_duration_sec` is the length of the whole imagined song
    and `offset_sec` where in it the drawn part begins: both pace the lyrics and set the timing
    embedding. `levels` are drawn from the coarsest down and must start at the top. With two
    `channels` those below the top are drawn once for each (`jukebox_core/channels.py`).
    """

    artist: str
    genre: str
    lyrics: str = ""
    duration_sec: float
    song_duration_sec: float
    offset_sec: float = 0.0
    num_samples: int = 1
    seed: int = 0
    sampling: Mapping[Level, SamplingParams] = field(default_factory=default_sampling)
    levels: tuple[Level, ...] = COARSE_TO_FINE
    speed: Speed = Speed.EXACT
    channels: int = 1

    def __post_init__(self) -> None:
        if self.levels != COARSE_TO_FINE[: len(self.levels)] or not self.levels:
            raise SongError(
                f"levels {[level.label for level in self.levels]} must start at the top and leave "
                "none out: [top], [top, middle] or [top, middle, bottom]",
                field="levels",
            )
        if self.num_samples < 1:
            raise SongError(f"{self.num_samples=} must be at least 1", field="num_samples")
        if self.channels not in (1, 2):
            raise SongError(f"{self.channels=} must be 1, or 2 for stereo", field="channels")
        if not 0 <= self.seed < 2**63:
            raise SongError(f"{self.seed=} must lie in [0, 2**63)", field="seed")
        if self.offset_sec < 0.0:
            raise SongError(f"{self.offset_sec=} must not be negative", field="offset_sec")
