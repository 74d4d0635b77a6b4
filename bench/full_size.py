"""Priors of the released sizes with random weights, made where they are needed."""

from collections.abc import Iterator

import torch

from bench.precisions import INT8, compute_dtype
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior, PriorCache
from jukebox_core.units import Level

FULL_SIZE = {
    "1b_lyrics": ("1b_lyrics", Level.TOP),
    "5b_lyrics": ("5b_lyrics", Level.TOP),
    "upsampler": ("5b_lyrics", Level.BOTTOM),
}
"""Name of the measurement: released model, and which of its priors."""


def full_size_priors(device: torch.device, precision: str) -> Iterator[tuple[str, JukeboxPrior]]:
    """One after the other, so that only one has to fit."""
    for name, (model, level) in FULL_SIZE.items():
        config = released_config(model).prior(level)
        prior = random_prior(config, device, compute_dtype(precision, device))
        yield name, prior.use_int8_weights() if precision == INT8 else prior


@torch.no_grad()
def random_prior(
    config: JukeboxPriorConfig, device: torch.device, dtype: torch.dtype
) -> JukeboxPrior:
    """A prior whose projections are in `dtype`, never held in a wider one."""
    with torch.device("meta"):
        prior = JukeboxPrior(config).set_compute_dtype(dtype)
    prior = prior.to_empty(device=device).eval()
    for name, weight in prior.named_parameters():
        if weight.ndim == 1:
            weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        else:
            weight.normal_(std=0.02)
    return prior


def watch_peak(device: torch.device) -> None:
    """From now on the most memory in use is remembered, on a GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """The most memory in use since `watch_peak`; None where nobody counts it."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def fits(prior: JukeboxPrior, num_rows: int) -> bool:
    """Whether the free memory of the GPU holds a cache of so many rows, and a tenth more."""
    device = prior.position_embedding.device
    if device.type != "cuda":
        return True
    torch.cuda.empty_cache()
    planned = PriorCache(
        prior.config, num_rows, device=torch.device("meta"), dtype=prior.compute_dtype
    )
    return 1.1 * planned.num_bytes < torch.cuda.mem_get_info(device)[0]
