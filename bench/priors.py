"""What do the priors of released size take: memory, bytes of a step, launches of the kernels?

`python -m bench.priors`. Arithmetic from the hyperparameters, the plan that placement and engine go
by; nothing is allocated. The other measurements get their priors with random weights here.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.machine import print_table, step_work, tell
from jukebox_core.config import JukeboxPriorConfig, TransformerConfig
from jukebox_core.models.device_memory import prior_needs
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior, PriorCache
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
_META = torch.device("meta")
_SMALL_DEPTHS = {"1b_lyrics": 16, "5b_lyrics": 19, "upsampler": 12}
"""Layers of small ones: transformers ties the pattern to the depth, and lyric layers come last."""
_WEIGHT_SHARE, _ATTENTION_SHARE = 0.85, 0.6
"""Assumed of a good kernel: so much of the bandwidth it gets while it reads weights, or keys and
values."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables, and the same as JSON in the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench.priors", description=__doc__)
    parser.add_argument("--prior", nargs="+", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16", help="of the steps")
    parser.add_argument("--bytes-per-sec", type=float, default=4.3e12, help="of the device")
    parser.add_argument("--boundary-us", type=float, default=2.5, help="from kernel to kernel")
    options = parser.parse_args(arguments)
    memory, steps = [], []
    for name in options.prior:
        config = released_prior(name)
        memory.append({"prior": name, **memory_of(config)})
        prior = random_prior(config, _META, options.precision)
        steps += [
            {"prior": name, **step_of(prior, num_rows, options)} for num_rows in options.batch
        ]
    print_table(memory)
    print_table(steps)
    tell({"memory": memory, "steps": steps})


def memory_of(config: JukeboxPriorConfig) -> dict[str, Any]:
    """Megabytes of the weights in each precision, and of one song in half precision.

    `keys_and_values_mb` are what attention can still read, `all_kept_mb` what they would be if
    every layer kept every position of the music; `conditioning_mb` are the embedded positions of a
    window.
    """
    cache, stack = PriorCache(config, 1, device=_META, dtype=torch.float16), config.transformer
    kept = len(stack.layers) * config.context_tokens * 2 * stack.attention_width
    return {
        "weights_fp32_mb": _mb(prior_needs(config, torch.float32).weight_bytes),
        "weights_fp16_mb": _mb(prior_needs(config, torch.float16).weight_bytes),
        "weights_int8_mb": _mb(prior_needs(config, torch.float16, int8_weights=True).weight_bytes),
        "keys_and_values_mb": _mb(sum(layer.nbytes for layer in cache.layers)),
        "all_kept_mb": _mb(kept * torch.float16.itemsize),
        "conditioning_mb": _mb(cache.position_embedding.nbytes),
    }


def step_of(prior: JukeboxPrior, num_rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """One step on an assumed device: its floor, and what the Triton backend should take there.

    The floor is reading alone; `predicted_ms` adds the boundaries of the kernels and that none
    reads as fast as the memory is.
    """
    # Imported here, as everything else does without Triton.
    from jukebox_core.backends.triton.launches import step_launches

    work, is_int8 = step_work(prior, num_rows), prior.has_int8_weights
    launches = len(
        step_launches(prior.config, num_rows=num_rows, dtype=prior.compute_dtype, is_int8=is_int8)
    )
    read = work.weight_bytes / _WEIGHT_SHARE + work.key_value_bytes / _ATTENTION_SHARE
    predicted = 1e-6 * launches * options.boundary_us + read / options.bytes_per_sec
    return {
        "batch": num_rows,
        "launches": launches,
        "read_mb": _mb(work.read_bytes),
        "floor_ms": round(1e3 * work.read_bytes / options.bytes_per_sec, 3),
        "predicted_ms": round(1e3 * predicted, 3),
    }


def _mb(num_bytes: int) -> float:
    return round(num_bytes / 1e6, 1)


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
    with _META:
        prior = JukeboxPrior(config).set_compute_dtype(compute_dtype(precision, device))
    prior = prior.to_empty(device=device).eval()
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


if __name__ == "__main__":
    main()
