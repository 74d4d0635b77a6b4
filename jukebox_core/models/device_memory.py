"""What a model takes on a device, and what the device has left: the numbers of every plan.

`memory_plan.py` decides by them: for the library, workers, and whoever asks what fits.
"""

from collections.abc import Collection

import torch
from torch import nn

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.meta_modules import without_weights
from jukebox_core.models.host_memory import free_host_bytes
from jukebox_core.models.memory_plan import (
    MemoryKind,
    MemoryPlan,
    ModelNeeds,
    PriorNeeds,
    plan_memory,
)
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.kv_cache import PriorCache, strip_dtype
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.chunks import near_chunk_tokens

MAX_WORKING_BYTES = 2**30
"""Room on a GPU for what is not weights or cache: the chunks of the VQ-VAE, a prefill, the draw."""
_HOST = torch.device("cpu")
_ACTIVATIONS = 6
"""Copies of the widest activations that a decoder holds at once."""


def prior_needs(
    config: JukeboxPriorConfig,
    dtype: torch.dtype,
    *,
    device: torch.device = _HOST,
    int8_weights: bool = False,
) -> PriorNeeds:
    """What a prior takes on `device` with its stacks in `dtype`.

    Found on the meta device, without weights.
    """
    with without_weights():
        prior = JukeboxPrior(config).set_compute_dtype(dtype)
        if int8_weights:
            prior.use_int8_weights()
    strips = strip_dtype(config, dtype, device, int8_weights=int8_weights)
    return PriorNeeds(
        weight_bytes=num_bytes(prior),
        row_bytes=PriorCache(
            config, 1, device=torch.device("meta"), dtype=dtype, strips=strips
        ).num_bytes,
    )


def model_needs(
    config: JukeboxConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    int8_weights: bool,
    levels: Collection[Level] = COARSE_TO_FINE,
) -> ModelNeeds:
    """What a model takes on `device` where those `levels` of it are generated."""
    priors = {
        level: prior_needs(config.prior(level), dtype, device=device, int8_weights=int8_weights)
        for level in levels
    }
    with without_weights():
        codec_bytes = num_bytes(JukeboxVQVAE(config.vqvae))
    passes = [_pass_bytes(config.prior(level)) for level in levels]
    # A piece of sound is decoded beside the engine.
    working = max(passes, default=0) + _decoding_bytes(config.vqvae)
    if device.type != "cpu":
        # Pieces are longer there, and libraries keep some for themselves.
        working = min(4 * working + MAX_WORKING_BYTES // 4, MAX_WORKING_BYTES)
    return ModelNeeds(
        priors=priors,
        codec_bytes=codec_bytes,
        working_bytes=working,
    )


def plan_on_host(
    config: JukeboxConfig, *, dtype: torch.dtype, int8_weights: bool, max_rows: int
) -> MemoryPlan:
    """How all levels of a model fit into what is free on a CPU now. Raises ModelTooLarge."""
    needs = model_needs(config, device=_HOST, dtype=dtype, int8_weights=int8_weights)
    free_bytes = free_bytes_of(_HOST)
    return plan_memory(needs, free_bytes=free_bytes, max_rows=max_rows, kind=MemoryKind.HOST)


def num_bytes(module: nn.Module) -> int:
    """Memory of its parameters and buffers, wherever they are."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _decoding_bytes(config: JukeboxVQVAEConfig) -> int:
    """What decoding the largest piece of sound takes on a CPU, in float32."""
    sizes = []
    for level in Level:
        piece = near_chunk_tokens(config, level) + 2 * decoder_reach_tokens(config, level)
        channels = config.width * config.width_multipliers[level]
        sizes.append(4 * piece * config.samples_per_token[level] * channels)
    return _ACTIVATIONS * max(sizes)


def _pass_bytes(config: JukeboxPriorConfig) -> int:
    """What one layer holds while a whole window runs through it at once, in float32.

    As when a backend is proven against the reference, and when lyrics are aligned.
    """
    stack = config.transformer
    numbers = 4 * stack.width + 4 * stack.attention_width + 3 * stack.mlp_width
    return 4 * stack.context_tokens * numbers


def free_bytes_of(device: torch.device) -> int | None:
    """What can still be allocated on `device`; None where nobody knows.

    On a CPU that is memory of the host, or of the container.
    """
    if device.type == "cpu":
        return free_host_bytes()
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None
