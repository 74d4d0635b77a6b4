"""The precisions that the stack of a prior can have, by the names that the measurements use."""

import copy
import shutil

import torch

from jukebox_core.prior import JukeboxPrior

FP32 = "fp32"
_DTYPES = {FP32: torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INT8 = "int8"
PRECISIONS = (*_DTYPES, INT8)
"""`int8` is weight-only: computed in fp32."""


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the stacks compute in: with int8 weights float32 on a CPU, and float16 elsewhere."""
    if precision == INT8:
        return torch.float32 if device.type == "cpu" else torch.float16
    return _DTYPES[precision]


def in_precision(prior: JukeboxPrior, precision: str) -> JukeboxPrior:
    """A copy of a prior whose stacks are fp32, in another precision."""
    other = copy.deepcopy(prior)
    if precision == INT8:
        return other.use_int8_weights()
    return other.set_compute_dtype(_DTYPES[precision])


def steps_of(precision: str) -> tuple[str, ...]:
    """The backends that can be had here."""
    can_be_native = precision in (FP32, INT8) and shutil.which("cc") is not None
    return ("torch", "native") if can_be_native else ("torch",)


def stack_bytes(prior: JukeboxPrior) -> int:
    """Bytes of the transformer stacks, those of the lyric encoder with them."""
    stacks = [prior.transformer]
    if prior.lyric_encoder is not None:
        stacks.append(prior.lyric_encoder.transformer)
    return sum(weight.nbytes for stack in stacks for weight in stack.parameters())


def prior_bytes(prior: JukeboxPrior) -> int:
    """Bytes of all weights of a prior."""
    return sum(weight.nbytes for weight in prior.parameters())
