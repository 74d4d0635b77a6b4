"""Where chance comes from: one number in [0, 1) for each (level, sample, position) of a song.

The numbers belong to the song. They do not depend on who shares the batch, on the order of the
calls, or on how often the song was interrupted.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.channels import RIGHT_CHANNEL_SAMPLE
from jukebox_core.errors import SamplingError
from jukebox_core.units import Level

_LOW_32 = 0xFFFF_FFFF
_PHILOX_ROUNDS = 10
_PHILOX_MULTIPLIERS = (np.uint64(0xD251_1F53), np.uint64(0xCD9E_8D57))
_PHILOX_KEY_STEPS = (0x9E37_79B9, 0xBB67_AE85)


class NoiseSource(Protocol):
    """Anything that gives the numbers by which codes are drawn."""

    def uniform(self, level: Level, sample: Tensor, position: Tensor) -> Tensor:
        """One number for each row.

        Args:
            level: whose codes are drawn.
            sample: int64 [B], which take of the song each row is.
            position: int64 [B], absolute place of the code in the song's stream at `level`.

        Returns:
            float64 [B] in [0, 1).
        """
        ...


class CounterNoise:
    """Numbers of 53 bits from Philox4x32-10, a generator without state.

    Its key is the seed, its counter says which number is meant (Salmon et al., "Parallel random
    numbers: as easy as 1, 2, 3", 2011). So one seed serves all samples: for one key no two counters
    give the same bits, and the samples of a song need no seeds of their own.

    Raises:
        SamplingError: the seed is not a number of 64 bits.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 2**64:
            raise SamplingError(f"{seed=} must lie in [0, 2**64)")
        self.seed = seed

    def uniform(self, level: Level, sample: Tensor, position: Tensor) -> Tensor:
        """See `NoiseSource`; the result is on the device of `position`.

        Raises:
            SamplingError: samples and positions differ in number, or one cannot be counted.
        """
        samples, positions = _rows(sample, position)
        counter = np.zeros((len(positions), 4), dtype=np.uint32)
        counter[:, 0] = positions & _LOW_32
        counter[:, 1] = positions >> 32
        counter[:, 2] = samples
        counter[:, 3] = level
        words = philox4x32(counter, (self.seed & _LOW_32, self.seed >> 32))
        return torch.from_numpy(_to_unit_interval(words)).to(position.device)


class SectionNoise:
    """The numbers of a song that is there, and new ones for the section that is sampled again.

    New numbers make the section of the top another one. Everywhere else the old ones are taken:
    where the codes above are the old ones again, so are most of the codes that they choose, and
    nothing is heard of the join.

    Args:
        new: of the song that is made, also for levels that are not there yet.
        old: of the song that is there.
        section: the tokens [start, end) of the top that take new numbers.
        levels: those that are there.
        old_samples: the number that each take has in the old song.
        first_sample: the number of the first take in the new one.
    """

    def __init__(
        self,
        new: NoiseSource,
        old: NoiseSource,
        *,
        section: tuple[int, int],
        levels: Collection[Level],
        old_samples: Sequence[int],
        first_sample: int = 0,
    ) -> None:
        self._new, self._old, self._section, self._levels = new, old, section, levels
        self._old_samples = torch.tensor(old_samples, dtype=torch.int64)
        self._first_sample = first_sample

    def uniform(self, level: Level, sample: Tensor, position: Tensor) -> Tensor:
        """See `NoiseSource`; the result is on the device of `position`."""
        if level not in self._levels:
            return self._new.uniform(level, sample, position)
        take = sample.cpu() % RIGHT_CHANNEL_SAMPLE
        channel = sample.cpu() - take
        old_sample = channel + self._old_samples[take - self._first_sample]
        old = self._old.uniform(level, old_sample.to(sample.device), position)
        if level is not Level.TOP:
            return old
        start, end = self._section
        is_new = (position >= start) & (position < end)
        return torch.where(is_new, self._new.uniform(level, sample, position), old)


def philox4x32(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32 with ten rounds: 128 mixed bits for each counter.

    Args:
        counter: uint32 [B, 4].
        key: two numbers of 32 bits.

    Returns:
        uint32 [B, 4].
    """
    c0, c1, c2, c3 = (counter[:, word].astype(np.uint64) for word in range(4))
    key0, key1 = key
    for _ in range(_PHILOX_ROUNDS):
        # Words of 32 bits are kept in 64, so that a product is whole: high half and low half.
        product0 = c0 * _PHILOX_MULTIPLIERS[0]
        product1 = c2 * _PHILOX_MULTIPLIERS[1]
        c0 = (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0)
        c2 = (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1)
        c1 = product1 & np.uint64(_LOW_32)
        c3 = product0 & np.uint64(_LOW_32)
        key0 = (key0 + _PHILOX_KEY_STEPS[0]) & _LOW_32
        key1 = (key1 + _PHILOX_KEY_STEPS[1]) & _LOW_32
    return np.stack((c0, c1, c2, c3), axis=1).astype(np.uint32)


def _to_unit_interval(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """53 bits of each row as a number in [0, 1): the first word and 21 bits of the second."""
    bits = (words[:, 0].astype(np.uint64) << np.uint64(21)) | (words[:, 1] >> np.uint32(11))
    return bits.astype(np.float64) * 2.0**-53


def _rows(sample: Tensor, position: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if sample.shape != position.shape or sample.ndim != 1:
        raise SamplingError(
            f"samples {list(sample.shape)} and positions {list(position.shape)} must be two "
            "equally long rows"
        )
    samples = sample.to("cpu", torch.int64).numpy()
    positions = position.to("cpu", torch.int64).numpy()
    if len(samples) and (min(samples.min(), positions.min()) < 0 or samples.max() > _LOW_32):
        raise SamplingError("samples and positions count from 0, and samples have 32 bits")
    return samples, positions
