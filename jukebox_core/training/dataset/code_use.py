"""How many of its codes a codec uses for some songs; one that uses a single code has collapsed."""

from dataclasses import dataclass

import numpy as np

from jukebox_core.training.dataset.codes_cache import SongCodes
from jukebox_core.units import Level

_COUNTED_AT_A_TIME = 1 << 22
_DEAD_PERPLEXITY = 2.0
_POOR_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class CodeUse:
    """`used` of `num_codes` codes come in the songs; `perplexity` evenly used ones would be worth
    as much."""

    level: Level
    num_codes: int
    used: int
    perplexity: float

    @property
    def is_collapsed(self) -> bool:
        """Hardly more than one code: there is nothing for a prior to learn."""
        return self.perplexity < _DEAD_PERPLEXITY

    @property
    def is_poor(self) -> bool:
        """Far fewer codes than there are: songs will sound dull."""
        return self.perplexity < _POOR_SHARE * self.num_codes

    @property
    def sentence(self) -> str:
        """E.g. "the top level of the codec uses 3 of 1,024 codes (worth 1.2 evenly used ones)"."""
        return (
            f"the {self.level.label} level of the codec uses {self.used:,} of {self.num_codes:,} "
            f"codes (worth {self.perplexity:,.1f} evenly used ones)"
        )


def code_use(codes: SongCodes, num_codes: int) -> CodeUse:
    """How many codes the songs use at one level."""
    counts = np.zeros(num_codes, dtype=np.int64)
    for start in range(0, len(codes.flat), _COUNTED_AT_A_TIME):
        part = codes.flat[start : start + _COUNTED_AT_A_TIME]
        counts += np.bincount(part, minlength=num_codes)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    perplexity = float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0
    return CodeUse(codes.level, num_codes, int((counts > 0).sum()), perplexity)
