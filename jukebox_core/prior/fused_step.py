"""The decode step with fused kernels, taken only where it has agreed with the plain one.

Kernels are compiled where they run, for a device that nobody has tried before. So the first step of
each size is computed twice, from the same state; when a kernel cannot be compiled, or the states
differ by more than rounding, a warning says so once, and this prior goes on with the plain step.
"""

import logging
from functools import cache
from importlib.util import find_spec
from subprocess import SubprocessError
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jukebox_core.errors import ConfigError
from jukebox_core.prior.kernels.tiles import padded_rows
from jukebox_core.prior.kv_cache import PriorCache

if TYPE_CHECKING:
    from jukebox_core.prior.fused_stack import FusedStack
    from jukebox_core.prior.transformer import Transformer

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = {torch.float32: 1e-4, torch.float16: 0.03, torch.bfloat16: 0.2}
"""Between the states of both steps in any row, as a share of the plain ones (root of the mean
square), by compute dtype. A wrong place or a lost bias makes most of 1 of it."""
_MIN_CAPABILITY = (8, 0)
# Triton starts a C compiler and an assembler, writes a cache and speaks to the driver.
_FAILURES = (RuntimeError, ValueError, OSError, SubprocessError)


@cache
def reason_against_fused_step() -> str | None:
    """Why this machine cannot have it, as a sentence; None if it can."""
    if find_spec("triton") is None:
        return "the fused step needs Triton, which comes with torch for CUDA"
    if not torch.cuda.is_available():
        return "the fused step needs a CUDA device"
    if torch.cuda.get_device_capability() < _MIN_CAPABILITY:
        return "the fused step needs a CUDA device of compute capability 8.0 or more"
    return None


class FusedStep:
    """The stack of a prior with one cache; the plain step where the fused one is not to be had.

    The cache owns it and is given with every step: it would not be freed at once otherwise.
    """

    def __init__(self, transformer: "Transformer") -> None:
        self._transformer = transformer
        self._fused: FusedStack | None = None
        self._proved: set[int] = set()
        self.reason_against: str | None = None

    def decode(self, kv_cache: PriorCache, x: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """One position of every row: float32 [B, C] -> [B, C]; x may be overwritten.

        The first step of each size waits for the device, and cannot be captured.

        kv_cache   always the same
        positions  int64 [B]   in the whole sequence
        slots      int64 [B]

        Raises:
            ConfigError: a size is captured that was never tried.
        """
        if self.reason_against is not None:
            return self._decode_plain(kv_cache, x, positions, slots)
        if self._fused is None or not self._fused.serves(self._transformer):
            self._proved.clear()
            self._fused = None
        if self._fused is None or padded_rows(len(x)) not in self._proved:
            return self._decode_both(kv_cache, x, positions, slots)
        return self._fused.decode(x, positions, slots)

    def _decode_plain(
        self, kv_cache: PriorCache, x: Tensor, positions: Tensor, slots: Tensor
    ) -> Tensor:
        return self._transformer.decode(x, kv_cache, kv_cache.plan(positions, slots))

    def _decode_both(
        self, kv_cache: PriorCache, x: Tensor, positions: Tensor, slots: Tensor
    ) -> Tensor:
        """The fused step last, so that the cache holds what the steps behind it expect."""
        if x.is_cuda and torch.cuda.is_current_stream_capturing():
            raise ConfigError("the fused step has to be taken once before it is captured")
        wanted = self._decode_plain(kv_cache, x, positions, slots)
        reason, found = self._try(kv_cache, x, positions, slots, wanted)
        if found is not None:
            self._proved.add(padded_rows(len(x)))
            return found
        self.reason_against, self._fused = reason, None
        log.warning("going on without the fused step: %s", reason)
        # Once more: the fused one may have written keys and values.
        return self._decode_plain(kv_cache, x, positions, slots)

    def _try(
        self,
        kv_cache: PriorCache,
        x: Tensor,
        positions: Tensor,
        slots: Tensor,
        wanted: Tensor,
    ) -> tuple[str | None, Tensor | None]:
        """Why it is not to be taken, or its states."""
        try:
            from triton.errors import TritonError

            from jukebox_core.prior.fused_stack import FusedStack
        except ImportError as error:
            return f"Triton cannot be used: {error}", None
        try:
            fused = self._fused or FusedStack(self._transformer, kv_cache)
            found = fused.decode(x.clone(), positions, slots)
            difference = ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max().item()
        except torch.OutOfMemoryError:
            raise
        except (TritonError, ConfigError, *_FAILURES) as error:
            return f"{type(error).__name__}: {error}", None
        largest = LARGEST_DIFFERENCE[self._transformer.compute_dtype]
        # Not a number is not below either.
        if not difference <= largest:
            return f"its states differ by {difference:.2g}, and {largest} is rounding", None
        self._fused = fused
        return None, found
