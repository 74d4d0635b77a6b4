"""Which code computes a decode step: decided from numbers alone, no torch.

The kinds give the same numbers up to rounding, so a song may go another way after many tokens
when its step changes. Whoever keeps songs notes with which one they were begun.
"""

from enum import StrEnum

from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE

MAX_NATIVE_WIDTH = 1024
"""Up to this width of its stacks a model was measured to be faster with the step in C."""


class StepKind(StrEnum):
    """Who computes the stack of a prior for one more token."""

    PLAIN = "plain"  # torch, on every device, in every precision
    NATIVE = "native"  # prior/native_step/: CPU, float32
    FUSED = "fused"  # prior/fused_step.py: few launches, CUDA


class StepWish(StrEnum):
    """What may be asked for; `auto` takes the faster one of those that can be had."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


def plan_step(
    config: JukeboxConfig,
    *,
    wanted: StepWish | str,
    is_cpu: bool,
    is_float32: bool,
    reason_against: str | None,
) -> StepKind:
    """The step for all levels of a model.

    Args:
        config: the model; large ones are left to torch unless the native step is wanted.
        wanted: see `StepWish`.
        is_cpu: the weights lie in the memory of the host, all the time.
        is_float32: the dtype of the stacks.
        reason_against: why this machine cannot have the native step; None if it can.

    Raises:
        ConfigError: the native step is wanted and cannot be had, or there is no such wish.
    """
    try:
        wish = StepWish(wanted)
    except ValueError:
        raise ConfigError(f"native step {wanted!r} is not known: {', '.join(StepWish)}") from None
    if not (is_cpu and is_float32):
        reason_against = "the native step is for float32 on a CPU"
    if wish is StepWish.ON and reason_against is not None:
        raise ConfigError(reason_against)
    if wish is StepWish.OFF or reason_against is not None:
        return StepKind.PLAIN
    widest = max(config.prior(level).transformer.width for level in COARSE_TO_FINE)
    is_small = widest <= MAX_NATIVE_WIDTH
    return StepKind.NATIVE if wish is StepWish.ON or is_small else StepKind.PLAIN
