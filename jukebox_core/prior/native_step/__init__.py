"""Tokens of small priors on a CPU, drawn in C: many tokens of many rows in one call.

At small sizes a token in torch is mostly dispatch, and its matrix products are slow for few rows.
Here a whole token is computed straight from the weights and the cache of the plain step, which
stays the reference: embedding, stack, logits, and the draw of `sampling/sampler.py`. Same numbers
up to rounding, fp32 only; weights may be int8, the arithmetic is fp32 all the same. The source is
compiled when it is asked for.
"""

from jukebox_core.prior.native_step.library import native_library, reason_against_native_step
from jukebox_core.prior.native_step.native_prior import NativeGroup, NativePrior, draw_tokens
from jukebox_core.prior.native_step.structures import NativeRow

__all__ = [
    "NativeGroup",
    "NativePrior",
    "NativeRow",
    "draw_tokens",
    "native_library",
    "reason_against_native_step",
]
