"""What can this machine do at most: bytes read, multiplications, one more kernel?

`python -m bench.machine [--device cuda]`. The other measurements stand beside these figures.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.backends.graphs.step_graphs import Capturer
from jukebox_core.config import AttentionKind, JukeboxPriorConfig
from jukebox_core.prior import JukeboxPrior

Clock = Callable[[], float]
"""Seconds since any moment: of the wall, or of what the thread had of the processor."""

_BIG_BYTES, _HUGE_BYTES = 2**28, 2**31
_CHAINS = (200, 2200)
"""Kernels in the two chains whose difference is the cost of one more."""
_NOT_PER_TOKEN = ("lyric_encoder", "conditioner", "labels", "lyric_key_value", "position_embedding")
"""Weights that are used once for a window, or of which one row is looked up."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.machine", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    device = torch.device(options.device)
    tell(machine_limits(device) | kernel_boundary(device))


def add_parts(parser: argparse.ArgumentParser, parts: Iterable[str]) -> None:
    """Let a person choose some of the parts of a measurement; by default all are measured."""
    names = list(parts)

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return name

    parser.add_argument(
        "parts", nargs="*", type=known, default=names, metavar="PART", help=", ".join(names)
    )


def tell(figures: Mapping[str, Any]) -> None:
    """The last line of every measurement."""
    print(json.dumps(figures), flush=True)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """For people: a table in Markdown. Rows may lack columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |", flush=True)


def machine_limits(
    device: torch.device, *, clock: Clock = time.perf_counter, num_bytes: int = _BIG_BYTES
) -> dict[str, Any]:
    """What the device is, and its limits as this process uses it (threads, clock, neighbors)."""
    size, dtype = (8192, torch.float16) if device.type == "cuda" else (768, torch.float32)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    product_sec = median_seconds(lambda: matrix @ matrix, device, clock)
    return {
        **describe_machine(device),
        "memory_bytes_per_sec": round(read_bytes_per_sec(num_bytes, device, clock)),
        "flop_per_sec": round(2 * size**3 / product_sec),
    }


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Where a measurement was made."""
    return {
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def resident_memory_of(pid: int) -> dict[str, int]:
    """Bytes of a process that are resident, by Linux' names; nothing of one that has ended.

    VmRSS now, VmHWM at most, and of those now RssAnon its own and RssFile those of mapped files.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return {}
    parts = dict(line.split(":", 1) for line in lines)
    names = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
    return {name: int(parts[name].split()[0]) * 1024 for name in names if name in parts}


def cpu_name() -> str:
    """The model name that /proc/cpuinfo gives."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def read_bytes_per_sec(
    num_bytes: int, device: torch.device, clock: Clock = time.perf_counter
) -> float:
    """How fast `num_bytes` are read again and again: from a cache, if they fit into one."""
    numbers = torch.ones(max(num_bytes // 4, 1), device=device)
    repeats = max(2**27 // num_bytes, 1)
    return (
        num_bytes
        * repeats
        / median_seconds(lambda: [numbers.sum() for _ in range(repeats)], device, clock)
    )


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(
    run: Callable[[], object],
    device: torch.device,
    clock: Clock = time.perf_counter,
    *,
    repeats: int = 8,
) -> float:
    """Of `repeats` runs after a first one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        wait_for(device)
        start = clock()
        run()
        wait_for(device)
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])


def kernel_boundary(device: torch.device) -> dict[str, Any]:
    """`boundary_cost` with the graphs of `device`, if it has any."""
    make_capturer = capturer_maker(device, GraphWish.AUTO, weights_stay=True)
    return boundary_cost(device, None if make_capturer is None else make_capturer())


def boundary_cost(
    device: torch.device, capturer: Capturer | None, chains: tuple[int, int] = _CHAINS
) -> dict[str, Any]:
    """Microseconds for one more kernel that adds 1 to one number, each after the one before.

    Launched by the host, and replayed in a graph (None where there are none): what a step of many
    small kernels cannot fall below. From chains of two lengths, so that what a chain costs once is
    not in it.
    """
    number = torch.zeros(1, device=device)

    def chain(num_kernels: int) -> Tensor:
        for _ in range(num_kernels):
            number.add_(1.0)
        return number

    def slope_us(runs: Sequence[Callable[[], object]]) -> float:
        less, more = (median_seconds(run, device) for run in runs)
        return float(f"{1e6 * (more - less) / (chains[1] - chains[0]):.4g}")

    launched = [lambda length=length: chain(length) for length in chains]
    replays: list[Callable[[], object]] = []
    if capturer is not None:
        for run in launched:
            capturer.warm_up(run)
            replays.append(capturer.capture(run)[0])
    return {
        "launched_kernel_us": slope_us(launched),
        "replayed_kernel_us": slope_us(replays) if replays else None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """Of one step for a batch, in the middle of a window: read at least, and computed."""

    weight_bytes: int
    key_value_bytes: int
    flop: int

    @property
    def read_bytes(self) -> int:
        """All that is read."""
        return self.weight_bytes + self.key_value_bytes


def step_work(prior: JukeboxPrior, num_rows: int) -> StepWork:
    """Weights are read once for the batch, keys and values once for every row."""
    config, stack = prior.config, prior.config.transformer
    weights = {
        name: weight
        for name, weight in prior.named_parameters()
        if not any(part in name for part in _NOT_PER_TOKEN)
        # Where it is tied it is the matrix of the logits, too.
        and (name != "token_embedding.weight" or config.tied_embeddings)
    }
    positions = sum(positions_read(kind, config) for kind in stack.layers)
    item_bytes = prior.compute_dtype.itemsize
    num_weights = sum(w.numel() for name, w in weights.items() if not name.endswith(".scale"))
    return StepWork(
        weight_bytes=sum(weight.nbytes for weight in weights.values()),
        key_value_bytes=int(num_rows * positions * 2 * stack.attention_width * item_bytes),
        flop=int(num_rows * (2 * num_weights + 4 * positions * stack.attention_width)),
    )


def positions_read(kind: AttentionKind, config: JukeboxPriorConfig) -> float:
    """Keys that a query must see, in the mean over a window."""
    stack = config.transformer
    return {
        AttentionKind.ROW: (stack.block_tokens + 1) / 2,
        AttentionKind.COLUMN: (stack.num_blocks + 1) / 2,
        AttentionKind.PREVIOUS_ROW: stack.block_tokens * (stack.num_blocks - 1) / stack.num_blocks,
        AttentionKind.ALL: (stack.context_tokens + config.num_prefix_tokens) / 2,
        AttentionKind.LYRIC_PREFIX: config.lyric_prefix_positions,
        AttentionKind.LYRIC_ENCODER: config.lyrics.num_tokens if config.lyrics is not None else 0,
    }[kind]


def floor_sec(work: StepWork, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Seconds that reading takes, at the rate of a buffer as large as what a step reads.

    So large because small models stay in a cache, up to a size that none has.
    """
    return work.read_bytes / read_bytes_per_sec(min(work.read_bytes, _HUGE_BYTES), device, clock)


if __name__ == "__main__":
    main()
