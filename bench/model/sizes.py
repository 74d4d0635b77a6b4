"""What do the priors of released size take: memory, bytes of a step, launches of the kernels?

Arithmetic from the hyperparameters, the plan that placement and engine go by; nothing is allocated.
"""

import argparse
from typing import Any

import torch

from bench.floor import step_work
from bench.priors import META, PRECISIONS, PRIORS, random_prior, released_prior
from bench.report import Figures, megabytes, print_table
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.models.device_memory import prior_needs
from jukebox_core.prior import JukeboxPrior, PriorCache

_WEIGHT_SHARE, _ATTENTION_SHARE = 0.85, 0.6
"""Assumed of a good kernel: so much of the bandwidth it gets while it reads weights, or keys and
values."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which steps, on what device."""
    parser.add_argument("--prior", nargs="+", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16", help="of the steps")
    parser.add_argument("--bytes-per-sec", type=float, default=4.3e12, help="of the device")
    parser.add_argument("--boundary-us", type=float, default=2.5, help="from kernel to kernel")


def measure(options: argparse.Namespace) -> Figures:
    """Print two tables: memory, and steps of each number of rows."""
    memory, steps = [], []
    for name in options.prior:
        config = released_prior(name)
        memory.append({"prior": name, **memory_of(config)})
        prior = random_prior(config, META, options.precision)
        steps += [
            {"prior": name, **step_of(prior, num_rows, options)} for num_rows in options.batch
        ]
    print_table(memory)
    print_table(steps)
    return {"memory": memory, "steps": steps}


def memory_of(config: JukeboxPriorConfig) -> dict[str, Any]:
    """Megabytes of the weights in each precision, and of one song in half precision.

    `keys_and_values_mb` are what attention can still read, `all_kept_mb` what they would be if
    every layer kept every position of the music; `conditioning_mb` are the embedded positions of a
    window.
    """
    half, stack = torch.float16, config.transformer
    cache = PriorCache(config, 1, device=META, dtype=half)
    kept = len(stack.layers) * config.context_tokens * 2 * stack.attention_width
    return {
        "weights_fp32_mb": megabytes(prior_needs(config, torch.float32).weight_bytes),
        "weights_fp16_mb": megabytes(prior_needs(config, torch.float16).weight_bytes),
        "weights_int8_mb": megabytes(
            prior_needs(config, torch.float16, int8_weights=True).weight_bytes
        ),
        "keys_and_values_mb": megabytes(sum(layer.nbytes for layer in cache.layers)),
        "all_kept_mb": megabytes(kept * half.itemsize),
        "conditioning_mb": megabytes(cache.position_embedding.nbytes),
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
        "read_mb": megabytes(work.read_bytes),
        "floor_ms": round(1e3 * work.read_bytes / options.bytes_per_sec, 3),
        "predicted_ms": round(1e3 * predicted, 3),
    }
