"""Priors of released size, and small ones of the same kinds, with random weights."""

import copy
from dataclasses import replace

import torch

from jukebox_core.config import JukeboxPriorConfig, TransformerConfig
from jukebox_core.meta_modules import without_weights
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level

PRIORS = {
    "1b_lyrics": ("1b_lyrics", Level.TOP),
    "5b_lyrics": ("5b_lyrics", Level.TOP),
    "upsampler": ("5b_lyrics", Level.BOTTOM),
}
"""The kinds of prior that there are, and which of a released model each is."""
INT8 = "int8"
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*_DTYPES, INT8)
"""`int8` is weight-only, computed in fp32 on a CPU and in fp16 elsewhere."""
META = torch.device("meta")
_SMALL_DEPTHS = {"1b_lyrics": 16, "5b_lyrics": 19, "upsampler": 12}
"""Layers of small ones: transformers ties the pattern to the depth, and lyric layers come last."""


def released_prior(name: str) -> JukeboxPriorConfig:
    """One of `PRIORS` at full size."""
    model, level = PRIORS[name]
    return released_config(model).prior(level)


def small_prior(
    name: str, width: int, *, num_blocks: int = 16, block_tokens: int = 64, num_lyrics: int = 64
) -> JukeboxPriorConfig:
    """One of `PRIORS` with few layers, lyric layers among them, and short windows."""
    config = released_prior(name)
    lyrics, conditioner, music = config.lyrics, config.conditioner, num_blocks * block_tokens
    prefix = num_lyrics if config.merged_vocabulary else 0
    stack = _smaller(config.transformer, width, _SMALL_DEPTHS[name], num_blocks, music + prefix)
    if lyrics is not None:
        encoder = lyrics.encoder
        if encoder is not None:
            encoder = _smaller(replace(encoder, num_heads=2), width // 2, 4, 8, num_lyrics)
        lyrics = replace(lyrics, num_tokens=num_lyrics, encoder=encoder, alignment_layer=None)
    if conditioner is not None:
        conditioner = replace(conditioner, width=64, depth=4)
    return replace(
        config, context_tokens=music, transformer=stack, lyrics=lyrics, conditioner=conditioner
    )


def _smaller(
    stack: TransformerConfig, width: int, depth: int, num_blocks: int, num_tokens: int
) -> TransformerConfig:
    layers = stack.layers[:depth]
    return replace(
        stack, width=width, layers=layers, num_blocks=num_blocks, context_tokens=num_tokens
    )


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the stacks of a prior compute in."""
    return _DTYPES.get(precision, torch.float32 if device.type == "cpu" else torch.float16)


def random_prior(
    config: JukeboxPriorConfig, device: torch.device, precision: str = "fp32"
) -> JukeboxPrior:
    """Random weights; projections are made in their dtype, never held in a wider one."""
    with without_weights():
        prior = JukeboxPrior(config).set_compute_dtype(compute_dtype(precision, device))
    prior = prior.to_empty(device=device).eval()
    if device != META:
        fill(prior)
    return prior.use_int8_weights() if precision == INT8 else prior


@torch.no_grad()
def fill(module: torch.nn.Module) -> None:
    """Random matrices; norms that scale by one, and no biases."""
    torch.manual_seed(7)
    for name, weight in module.named_parameters():
        if weight.ndim == 1:
            weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            weight.normal_(std=0.02)


def in_precision(prior: JukeboxPrior, precision: str) -> JukeboxPrior:
    """A copy of a prior whose stacks are fp32, in another precision."""
    other = copy.deepcopy(prior)
    if precision == INT8:
        return other.use_int8_weights()
    return other.set_compute_dtype(_DTYPES[precision])
