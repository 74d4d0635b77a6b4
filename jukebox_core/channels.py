"""Stereo: which rows of a level belong to which take and which channel; no torch.

The top level has one row for each take. The levels below have as many, or in a stereo song twice as
many: first the left channel of every take, then the right one.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jukebox_core.units import Level

MAX_CHANNELS = 2

Codes = TypeVar("Codes", bound=np.integer)

RIGHT_CHANNEL_SAMPLE = 2**31
"""Samples of the noise from here on are right channels. The left channel has the numbers of the
mono song of the same seed, and so is that song."""


def rows_of_level(level: Level, num_takes: int, num_channels: int) -> int:
    """How many rows a level of a song has."""
    return num_takes if level is Level.TOP else num_takes * num_channels


def rows_of_take(take: int, num_takes: int, num_rows: int) -> range:
    """The rows of one take among those of a level, left channel first."""
    return range(take, num_rows, num_takes)


def noise_sample(row: int, num_takes: int, first_take: int = 0) -> int:
    """The number by which the noise knows a row; `first_take` is that of the first take."""
    channel, take = divmod(row, num_takes)
    return first_take + take + channel * RIGHT_CHANNEL_SAMPLE


def channels_of_rows(num_rows: int, num_takes: int) -> int:
    """How many channels a level has whose rows are those of so many takes.

    Raises:
        ValueError: no number of channels makes so many rows.
    """
    num_channels = num_rows // num_takes if num_takes else 0
    if num_rows != num_takes * num_channels or not 1 <= num_channels <= MAX_CHANNELS:
        raise ValueError(
            f"{num_rows} rows are not those of {num_takes} songs: each has one, or two in stereo"
        )
    return num_channels


def spread_rows(
    codes: NDArray[Codes], *, num_given_takes: int, num_takes: int, num_channels: int
) -> NDArray[Codes]:
    """Rows of a level for every take and channel: one take serves all, one channel serves both.

    Args:
        codes: integers [rows, T] of 1 or `num_takes` takes. Of two channels a mono level takes the
            left one.
        num_given_takes: the takes that they are of.
        num_takes: wanted.
        num_channels: wanted; 1 for a top level.

    Returns:
        integers [num_takes * num_channels, T].

    Raises:
        ValueError: they cannot be spread so.
    """
    given_channels = channels_of_rows(len(codes), num_given_takes)
    if num_given_takes not in (1, num_takes):
        raise ValueError(f"codes of {num_given_takes} songs are not those of 1 or {num_takes}")
    by_channel = codes.reshape(given_channels, num_given_takes, codes.shape[1])[:num_channels]
    shape = (num_channels, num_takes, codes.shape[1])
    return np.broadcast_to(by_channel, shape).reshape(num_channels * num_takes, codes.shape[1])
