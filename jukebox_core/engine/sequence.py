"""One window being drawn: what it needs, and how far it is. No torch."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import SamplingError
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

if TYPE_CHECKING:
    from jukebox_core.sampling.noise import NoiseSource

NUM_TIME_LABELS = 3
"""Label vectors begin with total, offset and context length, all in audio samples."""


class SequenceStatus(StrEnum):
    """Where a sequence stands in an engine."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One window of one sample of one song, on its way through the prior of `level`.

    `labels` is the label vector of this window, `prefix_codes` int64 [n] are the codes it begins
    with, and `upper_codes` int64 [upper_context_tokens] those of the level above (None at the top).
    `start_token` is the place of the window's first token in the song: with `sample` it selects
    the numbers that `noise` gives. `backend` computes its tokens; None leaves that to the
    engine. `slot` and `num_sampled` belong to the engine.
    """

    id: str
    level: Level
    labels: tuple[int, ...]
    prefix_codes: NDArray[np.int64]
    upper_codes: NDArray[np.int64] | None
    start_token: int
    num_new: int
    sample: int
    params: SamplingParams
    noise: "NoiseSource"
    backend: str | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    slot: int | None = field(default=None, repr=False)
    num_sampled: int = 0

    @property
    def num_prefix(self) -> int:
        """Tokens that the window begins with."""
        return len(self.prefix_codes)

    @property
    def is_complete(self) -> bool:
        """Every new token has been drawn."""
        return self.num_sampled >= self.num_new


def check_sequence(config: JukeboxPriorConfig, sequence: Sequence) -> None:
    """Find what would fail inside the prior, where it would take other songs with it.

    Raises:
        SamplingError: the window does not fit the context, or codes or labels lie outside what
            the prior embeds.
    """
    _check_lengths(config, sequence)
    _check_range("prefix codes", sequence.prefix_codes, 0, config.num_codes)
    if sequence.upper_codes is not None:
        _check_range("upper codes", sequence.upper_codes, 0, config.num_codes)
    _check_labels(config, sequence.labels)


def _check_lengths(config: JukeboxPriorConfig, sequence: Sequence) -> None:
    if sequence.level is not config.level:
        raise SamplingError(f"a {sequence.level.label} window on a {config.level.label} prior")
    room = config.context_tokens - sequence.num_prefix
    if not 1 <= sequence.num_new <= room:
        raise SamplingError(
            f"{sequence.num_new} new tokens after a prefix of {sequence.num_prefix}: a window of "
            f"{config.context_tokens} tokens has room for 1 to {room}"
        )
    num_upper = 0 if sequence.upper_codes is None else len(sequence.upper_codes)
    if num_upper != config.upper_context_tokens:
        raise SamplingError(
            f"{num_upper} codes of the level above, but a window of the {config.level.label} "
            f"prior needs {config.upper_context_tokens}"
        )


def _check_labels(config: JukeboxPriorConfig, labels: tuple[int, ...]) -> None:
    if config.labels is None:
        return
    num_lyrics = config.lyrics.num_tokens if config.lyrics is not None else 0
    genres_at = NUM_TIME_LABELS + 1
    lyrics_at = genres_at + config.labels.max_genres
    if len(labels) != lyrics_at + num_lyrics:
        raise SamplingError(
            f"a label vector of {len(labels)} numbers, but the {config.level.label} prior reads "
            f"{lyrics_at + num_lyrics}"
        )
    ids = np.asarray(labels, dtype=np.int64)
    _check_range("artist id", ids[NUM_TIME_LABELS:genres_at], 0, config.labels.num_artists)
    # -1 is an empty place among the genres.
    _check_range("genre ids", ids[genres_at:lyrics_at], -1, config.labels.num_genres)
    if config.lyrics is not None:
        _check_range("lyric ids", ids[lyrics_at:], 0, config.lyrics.num_characters)


def _check_range(what: str, values: NDArray[np.int64], low: int, end: int) -> None:
    outside = values[(values < low) | (values >= end)]
    if outside.size:
        raise SamplingError(f"{what} must lie in [{low}, {end}), found {int(outside[0])}")
