"""One autoregressive model of the codes of one level."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import ConfigError
from jukebox_core.prior.fused_step import FusedStep, reason_against_fused_step
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.native_step import NativePrior, native_library
from jukebox_core.prior.outputs import Conditioning
from jukebox_core.prior.teacher_forced import TeacherForcedPrior
from jukebox_core.step_kind import StepKind


class JukeboxPrior(TeacherForcedPrior):
    """p(codes of one window | labels, lyrics, codes of the level above), token by token as well.

    Weights live here and nothing else: caches and positions belong to the caller. A step is
    computed in torch, in C (`use_native_step`) or by fused kernels (`use_fused_step`); `step` says
    which, unless a call asks for another.

    The original is `prior/prior.py` and `prior/autoregressive.py`.
    """

    def __init__(self, config: JukeboxPriorConfig) -> None:
        super().__init__(config)
        self.step = StepKind.PLAIN

    # ---- who computes a step ----

    def use_native_step(self, wanted: bool = True) -> Self:
        """Decode in C (`native_step/`) or, as by default, in torch.

        For small priors in float32 on a CPU, where it is several times faster. The same numbers up
        to rounding: a song may differ from that of the other step after many tokens.

        Raises:
            ConfigError: there is no C compiler.
        """
        if wanted:
            native_library()
        self.step = StepKind.NATIVE if wanted else StepKind.PLAIN
        return self

    def use_fused_step(self, wanted: bool = True) -> Self:
        """Decode with fused kernels (`fused_step.py`) or, as by default, in torch.

        For CUDA. Where its kernels cannot be compiled, or disagree, the plain step is taken. The
        same numbers up to rounding: a song may differ from that of the other step.

        Raises:
            ConfigError: there is no Triton, or no CUDA device for it.
        """
        reason = reason_against_fused_step() if wanted else None
        if reason is not None:
            raise ConfigError(reason)
        self.step = StepKind.FUSED if wanted else StepKind.PLAIN
        return self

    def fused(self, cache: PriorCache) -> FusedStep:
        """The fused step of this prior with `cache`."""
        if cache.fused_step is None:
            cache.fused_step = FusedStep(self.transformer)
        return cache.fused_step

    def native(self, cache: PriorCache) -> NativePrior:
        """This prior with `cache` for the native step, which draws many tokens in one call.

        Raises:
            ConfigError: there is no C compiler, or this prior is not float32 (or int8) on a CPU.
        """
        native = cache.native_prior
        if native is None or not native.serves(self):
            native = cache.native_prior = NativePrior(self, cache)
        return native

    # ---- one token after another ----

    def allocate_cache(
        self,
        num_slots: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PriorCache:
        """Static memory for `num_slots` windows; by default beside the weights, in their dtype.

        `dtype` must be the compute dtype at the time of use.
        """
        return PriorCache(
            self.config,
            num_slots,
            device=torch.device(device) if device is not None else self.position_embedding.device,
            dtype=dtype or self.compute_dtype,
        )

    @torch.inference_mode()
    def prefill(
        self,
        codes: Tensor,
        conditioning: Conditioning,
        cache: PriorCache,
        slots: Tensor,
        *,
        step: StepKind | None = None,
    ) -> Tensor:
        """Begin windows in `slots`, reading the codes they begin with in one parallel pass.

        codes    int64 [B, n], 0 <= n < context_tokens; the same n for all rows of a call
        slots    int64 [B], each at most once; what they held before is forgotten
        step     who computes it, as in `decode`
        returns  float32 [B, V]: logits of music token n

        Raises:
            ValueError: the window would have no token left to draw.
        """
        if codes.shape[1] >= self.config.context_tokens:
            raise ValueError(
                f"{codes.shape[1]} codes leave nothing to draw in a window of "
                f"{self.config.context_tokens}"
            )
        cache.begin(slots, conditioning.position_embedding)
        ids = self._sequence_ids(codes, conditioning)
        added = self._sequence_conditioning(conditioning, ids.shape[1] + 1)
        x = self._embed(ids, conditioning, added)
        if (step or self.step) is StepKind.NATIVE:
            self.transformer.write_lyrics(conditioning.lyric_states, cache, slots)
            return self.native(cache).prefill(x, slots)
        last = self.transformer.prefill(x, conditioning.lyric_states, cache, slots)
        return self._logits(last, added[:, -1])

    @torch.inference_mode()
    def decode(
        self,
        ids: Tensor,
        positions: Tensor,
        cache: PriorCache,
        slots: Tensor,
        *,
        step: StepKind | None = None,
    ) -> Tensor:
        """Logits of one more token of each row. Rows may stand anywhere; the host never waits.

        ids        int64 [B]   the last token of each row, as it was drawn
        positions  int64 [B]   music position of the token to predict: 1 .. context_tokens - 1
        slots      int64 [B]   each at most once
        step       who computes it; by default as `use_native_step` said
        returns    float32 [B, V]
        """
        if (step or self.step) is StepKind.NATIVE:
            return self.native(cache).logits(ids, positions, slots)
        places = slots * self.config.context_tokens + positions
        added = cache.position_embedding.flatten(0, 1).index_select(0, places)
        sequence_positions = positions + self.config.num_prefix_tokens
        x = F.embedding(ids, self.token_embedding.weight)
        x = x + self.position_embedding.index_select(0, sequence_positions) + added
        if (step or self.step) is StepKind.FUSED:
            x = self.fused(cache).decode(cache, x, sequence_positions, slots)
        else:
            x = self.transformer.decode(x, cache, cache.plan(sequence_positions, slots))
        return self._logits(x, added)
