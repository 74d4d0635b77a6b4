"""Levels, and seconds <-> samples <-> tokens: every rounding is in this file."""

from dataclasses import dataclass
from enum import IntEnum

from jukebox_core.errors import ConfigError


class Level(IntEnum):
    """One of the three streams of codes, numbered as in the paper: 0 is the finest."""

    BOTTOM = 0
    MIDDLE = 1
    TOP = 2

    @classmethod
    def _missing_(cls, value: object) -> "Level":
        """`Level("top")` is the top. Raises ValueError for what is no level."""
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        raise ValueError(
            f"{value!r} is no level: Level.TOP, Level.MIDDLE or Level.BOTTOM, or their names top, "
            "middle and bottom"
        )

    @property
    def label(self) -> str:
        """The word used in JSON, file names and messages: `top`, `middle` or `bottom`."""
        return self.name.lower()

    @property
    def upper(self) -> "Level | None":
        """The next coarser level, which conditions this one; None above the top."""
        return None if self is Level.TOP else Level(self + 1)

    @classmethod
    def from_label(cls, label: str) -> "Level":
        """Inverse of `label`. Raises ValueError for any other word."""
        try:
            return cls[label.upper()]
        except KeyError:
            raise ValueError(f"no level is called {label!r}: top, middle or bottom") from None


COARSE_TO_FINE: tuple[Level, ...] = (Level.TOP, Level.MIDDLE, Level.BOTTOM)
"""The order of sampling; also the order of `JukeboxModel.priors`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBase:
    """How one model divides time.

    `samples_per_token` is in the paper's order (bottom, middle, top), e.g. (8, 32, 128), and is
    indexed by `Level`. A duration is first cut to whole top tokens, so that all levels cover
    exactly the same audio (`make_models.py` of the original does the same).
    """

    sample_rate_hz: int
    samples_per_token: tuple[int, int, int]

    def __post_init__(self) -> None:
        bottom, middle, top = self.samples_per_token
        if self.sample_rate_hz < 1 or bottom < 1 or middle % bottom or top % middle:
            raise ConfigError(
                f"{self.samples_per_token=} must rise from bottom to top by whole factors, "
                f"and {self.sample_rate_hz=} must be positive"
            )

    def seconds_to_samples(self, duration_sec: float) -> int:
        """Whole samples inside `duration_sec`; the fraction is dropped.

        The nanosecond forgives binary fractions: 0.58 s is 25,578 samples at 44.1 kHz, not 25,577.
        """
        return int((duration_sec + 1e-9) * self.sample_rate_hz)

    def seconds_to_tokens(self, duration_sec: float, level: Level) -> int:
        """Tokens of `level` that cover the whole top tokens inside `duration_sec`."""
        num_top_tokens = self.seconds_to_samples(duration_sec) // self.samples_per_token[Level.TOP]
        return num_top_tokens * self.tokens_per_top_token(level)

    def nearest_top_token(self, seconds: float) -> int:
        """The border between two top tokens that is nearest to a moment; the later of two.

        Borders are numbered by the tokens before them. A moment that is the time of a border, as
        `tokens_to_seconds` gives it, is that border.
        """
        top_token_samples = self.samples_per_token[Level.TOP]
        return (2 * self.seconds_to_samples(seconds) + top_token_samples) // (2 * top_token_samples)

    def border_of_song(self, seconds: float, num_top_tokens: int) -> int | None:
        """The border nearest to a moment of a song with so many top tokens; None if outside of it.

        A song of 3 s has the codes of the whole top tokens in it, which may be 2.992 s. Whoever
        names 3 s as its end means that end: what is less than one token further on is the end.
        """
        # The comparison comes first: what is not a number or infinite has no nearest border.
        if not 0.0 <= seconds < self.tokens_to_seconds(num_top_tokens + 1, Level.TOP):
            return None
        return min(self.nearest_top_token(seconds), num_top_tokens)

    def tokens_to_samples(self, num_tokens: int, level: Level) -> int:
        """Audio samples covered by `num_tokens` of `level`."""
        return num_tokens * self.samples_per_token[level]

    def tokens_to_seconds(self, num_tokens: int, level: Level) -> float:
        """Seconds covered by `num_tokens` of `level`."""
        return self.tokens_to_samples(num_tokens, level) / self.sample_rate_hz

    def tokens_per_second(self, level: Level) -> float:
        """Tokens that one second of audio takes at `level`."""
        return self.sample_rate_hz / self.samples_per_token[level]

    def tokens_per_top_token(self, level: Level) -> int:
        """How many tokens of `level` lie under one top token, e.g. 16 for the bottom."""
        return self.samples_per_token[Level.TOP] // self.samples_per_token[level]

    def tokens_per_upper_token(self, level: Level) -> int:
        """How many tokens of `level` lie under one token of the level above; 1 at the top."""
        if level.upper is None:
            return 1
        return self.samples_per_token[level.upper] // self.samples_per_token[level]
