"""What does a model take in memory, and what do keys and values in half precision change?"""

import argparse
import math

import torch
from torch import Tensor

from bench.model import LABELS
from bench.report import Figures, gigabytes, print_table
from bench.steps import label_rows, upper_code_rows
from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.native.backend import NativeBackend
from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
from jukebox_core.config import Weights
from jukebox_core.models.catalog import locate_model, read_card
from jukebox_core.models.device_memory import model_needs
from jukebox_core.models.host_memory import peak_resident_bytes, resident_bytes
from jukebox_core.models.memory_plan import MemoryKind, ModelTooLarge, plan_memory
from jukebox_core.models.placed_priors import HOST
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import near_chunk_tokens

BUDGETS_GB = (3, 4, 5, 6, 8, 12, 16, 24)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which prior of a model, and how far it samples."""
    parser.add_argument("model", help="a model directory, or mini")
    parser.add_argument("--level", choices=LABELS, default="middle")
    parser.add_argument("--weights", choices=["full", "int8"], default="int8")
    parser.add_argument("--rows", type=int, default=8, help="windows side by side")
    parser.add_argument("--steps", type=int, default=16, help="tokens of each")
    parser.add_argument("--threads", type=int, default=2)


def measure(options: argparse.Namespace) -> Figures:
    """Print a table of plans, of memory taken, and of the distance."""
    plans = plans_of(options.model, options.weights)
    print_table(plans)
    taken, prior = memory_taken(options, Level.from_label(options.level))
    print_table(taken)
    distance = half_strips(prior, options.steps)
    print_table([distance])
    return {
        "model": str(options.model),
        "level": options.level,
        "plans": plans,
        "resident": taken,
        "half_precision": distance,
    }


def plans_of(model: str, weights: str) -> list[Figures]:
    """How the model would be held with so much memory free."""
    needs = model_needs(
        read_card(locate_model(model)).config,
        device=HOST,
        dtype=torch.float32,
        int8_weights=weights == Weights.INT8,
    )
    rows = []
    for budget_gb in BUDGETS_GB:
        row: Figures = {"free GB": budget_gb}
        try:
            plan = plan_memory(
                needs, free_bytes=budget_gb * 10**9, max_rows=8, kind=MemoryKind.HOST
            )
        except ModelTooLarge as error:
            row |= {"placement": str(error)}
        else:
            windows = {level.label: number for level, number in plan.rows.items()}
            row |= {"placement": plan.placement.value, **windows, "GB": gigabytes(plan.total_bytes)}
        rows.append(row)
    return rows


@torch.inference_mode()
def memory_taken(options: argparse.Namespace, level: Level) -> tuple[list[Figures], JukeboxPrior]:
    """Resident memory of this process after each thing that takes or gives back some."""
    directory = locate_model(options.model)
    rows = [_now("started")]
    prior = load_prior_of(
        directory, level, device=HOST, dtype=torch.float32, weights=Weights(options.weights)
    )
    rows.append(_now("prior loaded"))
    memory = SlotMemory(prior, options.rows, HOST)
    rows.append(_now(f"addresses of {options.rows} windows"))
    _run(prior, memory, options.rows, options.steps)
    rows.append(_now(f"{options.steps} tokens of each sampled"))
    for strips in memory.cache.layers:
        strips.fill_(0.5)
    rows.append(_now("all windows full"))
    memory.release(range(options.rows))
    rows.append(_now("windows given back"))
    vqvae = load_vqvae_of(directory, device=HOST)
    num_tokens = near_chunk_tokens(vqvae.config, Level.BOTTOM)
    vqvae.decode_chunked(torch.zeros(1, num_tokens, dtype=torch.int64), Level.BOTTOM)
    rows.append(_now("a piece of sound decoded"))
    return rows, prior


def _run(prior: JukeboxPrior, memory: SlotMemory, num_rows: int, num_steps: int) -> Tensor:
    """Logits float32 [steps, rows, V] behind ids that are the same in every call."""
    backend, config = NativeBackend(prior, memory), prior.config
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, config.num_codes, (num_steps, num_rows), generator=generator)
    conditioning = prior.condition(label_rows(config, 1), upper_code_rows(config, 1))
    slots = torch.arange(num_rows)
    nothing = torch.zeros(1, 0, dtype=torch.int64)
    for slot in slots:
        backend.prefill(nothing, conditioning, slot[None])
    positions = torch.ones(num_rows, dtype=torch.int64)
    music = [prior.codes_to_ids(row) for row in ids]
    return torch.stack([backend.decode(row, positions + n, slots) for n, row in enumerate(music)])


@torch.inference_mode()
def half_strips(prior: JukeboxPrior, num_steps: int) -> Figures:
    """How far distributions with keys and values in half precision are from those in float32."""
    logits = []
    for dtype in (torch.float32, torch.float16):
        memory = SlotMemory(prior, 1, HOST)
        memory.cache = PriorCache(
            prior.config, 1, device=HOST, dtype=prior.compute_dtype, strips=dtype
        )
        logits.append(_run(prior, memory, 1, num_steps).double().log_softmax(-1))
    whole, half = logits
    divergence = (whole.exp() * (whole - half)).sum(-1) / math.log(2.0)
    return {
        "tokens": num_steps,
        "KL bits, mean": f"{divergence.mean().item():.2g}",
        "KL bits, largest": f"{divergence.max().item():.2g}",
        "same likeliest": f"{(whole.argmax(-1) == half.argmax(-1)).double().mean().item():.4f}",
    }


def _now(after: str) -> Figures:
    return {
        "after": after,
        "resident GB": gigabytes(resident_bytes() or 0),
        "peak GB": gigabytes(peak_resident_bytes() or 0),
    }
