"""What the released models take of a device, from their hyperparameters: `python -m bench.memory`.

Nothing is allocated: the plan that placement and engine go by (`prior_needs`, `PriorCache`).
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch

from bench.full_size import FULL_SIZE
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.models.placed_priors import prior_needs
from jukebox_core.models.released import released_config
from jukebox_core.prior import PriorCache

_META = torch.device("meta")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and the same as JSON in the last line."""
    options = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    options.parse_args(arguments)
    rows = [
        {"prior": name, **memory_of(released_config(model).prior(level))}
        for name, (model, level) in FULL_SIZE.items()
    ]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps({"rows": rows}))


def memory_of(config: JukeboxPriorConfig) -> dict[str, Any]:
    """Megabytes of the weights in each precision, and of one song in half precision.

    `keys_and_values_mb` are what attention can still read, `all_kept_mb` what they would be if
    every layer kept every position of the music; `conditioning_mb` are the embedded places of a
    window.
    """
    cache = PriorCache(config, 1, device=_META, dtype=torch.float16)
    stack = config.transformer
    per_position = 2 * stack.attention_width * torch.float16.itemsize
    return {
        "weights_fp32_mb": _mb(prior_needs(config, torch.float32).weight_bytes),
        "weights_fp16_mb": _mb(prior_needs(config, torch.float16).weight_bytes),
        "weights_int8_mb": _mb(prior_needs(config, torch.float16, int8_weights=True).weight_bytes),
        "keys_and_values_mb": _mb(sum(layer.nbytes for layer in cache.layers)),
        "all_kept_mb": _mb(len(stack.layers) * config.context_tokens * per_position),
        "conditioning_mb": _mb(cache.position_embedding.nbytes),
    }


def _mb(num_bytes: int) -> float:
    return round(num_bytes / 1e6, 1)


if __name__ == "__main__":
    main()
