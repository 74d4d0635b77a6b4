"""Which backend computes the tokens of a prior: decided from numbers alone, no torch.

Backends give the same numbers up to rounding, so a song may change after many tokens when its
backend does. Whoever stores songs stores the name of the backend that began them.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE

if TYPE_CHECKING:
    from jukebox_core.backends.backend import Backend

BACKENDS = {
    "native": "jukebox_core.backends.native.backend:NativeBackend",
    "triton": "jukebox_core.backends.triton.backend:TritonBackend",
    "torch": "jukebox_core.backends.torch:TorchBackend",
}
"""Every backend and its class, in the order in which `auto` asks them."""
AUTO, REFERENCE = "auto", "torch"
RENAMED = {"plain": "torch", "fused": "triton"}
"""Names of earlier releases, which are in the records of songs that they began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a prior is computed.

    device_type    as torch calls it: cpu, cuda, mps
    is_float32     the dtype of the stacks
    weights_stay   they are on the device all the time
    """

    device_type: str
    is_float32: bool
    weights_stay: bool = True


def choose_backend(config: JukeboxConfig, target: Target, wanted: str = AUTO) -> str:
    """The backend for all levels of a model.

    Args:
        config: the model.
        target: where it is computed.
        wanted: a backend, or `auto`: the first that suits the model and can be used.

    Raises:
        ConfigError: that backend cannot be used there, or there is none of that name.
    """
    if wanted == AUTO:
        return next(
            name
            for name in BACKENDS
            if backend_class(name).is_automatic(config)
            and reason_against(name, target, config) is None
        )
    reason = reason_against(wanted, target, config)
    if reason is not None:
        raise ConfigError(reason)
    return wanted


def reason_against(name: str, target: Target, config: JukeboxConfig | None = None) -> str | None:
    """Why this machine cannot use a backend, for a model or any, as a sentence; None if it can.

    Raises:
        ConfigError: there is no backend of that name.
    """
    backend = backend_class(name)
    reason = backend.unavailable_because(target)
    return backend.unsuited_because(config) if reason is None and config is not None else reason


def reason_against_scaling(name: str, config: JukeboxConfig) -> str | None:
    """Why a backend that adds residual branches as they are cannot compute a model, or None."""
    if all(prior.transformer.residual_scale == 1.0 for prior in config.priors):
        return None
    return f"the {name} backend does not scale residual branches, as this model does"


def backend_of_steps(native: str | None, fused: str | None) -> str | None:
    """The backend that the two settings of earlier releases ask for; None where neither is set.

    Args:
        native: whether the step was to be in C: `auto`, `on` or `off`.
        fused: whether its kernels were to be fused: `on` or `off`.
    """
    if fused == "on":
        return "triton"
    if native is None:
        return None if fused is None else AUTO
    return {"on": "native", "off": "torch"}.get(native, native)


def choose_weights(
    config: JukeboxConfig,
    *,
    device_type: str,
    stored: Weights = Weights.FULL,
    wanted: str = AUTO,
) -> Weights:
    """How the weights of a model are kept in memory.

    Args:
        config: the model.
        device_type: where it is computed, as torch calls it.
        stored: how its files keep them; int8 ones stay so.
        wanted: some `Weights`, or `auto`: int8 on a CPU for models that are not small, whose tokens
            wait for their weights to be read.
    """
    if stored is Weights.INT8:
        return stored
    if wanted != AUTO:
        return Weights(wanted)
    return Weights.INT8 if device_type == "cpu" and not is_small(config) else Weights.FULL


def is_small(config: JukeboxConfig) -> bool:
    """Whether no stack of a model is large, see `TransformerConfig.is_large`."""
    return not any(config.prior(level).transformer.is_large for level in COARSE_TO_FINE)


def uses_cores(name: str) -> bool:
    """Whether a backend computes several levels at once, on the cores of the host."""
    return backend_class(name).uses_cores


def backend_class(name: str) -> "type[Backend]":
    """The class of a backend; its module is imported here, and torch with it.

    Raises:
        ConfigError: there is no backend of that name.
    """
    if name not in BACKENDS:
        known = ", ".join(sorted([AUTO, *BACKENDS]))
        raise ConfigError(f"backend {name!r} is not known: {known}")
    module, _, attribute = BACKENDS[name].partition(":")
    return cast("type[Backend]", getattr(importlib.import_module(module), attribute))
