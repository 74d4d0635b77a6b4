"""The kernels of the Triton backend: what they must read, are compiled to, and take."""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from bench.full_size import FULL_SIZE, random_prior
from bench.kernel_plan import (
    Assumptions,
    PlannedKernel,
    launch_bytes,
    plan_kernels,
    table,
    totals,
)
from bench.machine import device_name
from jukebox_core.backends.triton.launches import (
    compile_launch,
    distinct,
    launch_key,
    step_launches,
)
from jukebox_core.backends.triton.stack import Launch, TritonStack, start
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_REPEATS = 9
_MIN_LAUNCHES = 48


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan, compile or measure; tables, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    if options.compile:
        found = {"compiled": list(_compiled(options))}
    elif options.device is None:
        given = Assumptions()
        found = {"assumed": asdict(given), "plans": list(_plans(options, given))}
    else:
        device = torch.device(options.device)
        found = {"device": device_name(device), "measured": list(_measured(options, device))}
    print(json.dumps(found))


def _plans(options: argparse.Namespace, given: Assumptions) -> Iterator[dict[str, Any]]:
    for name, config in _configs(options):
        for num_rows in options.batch:
            kernels = plan_kernels(
                config,
                num_rows=num_rows,
                dtype=_DTYPES[options.dtype],
                is_int8=options.int8,
                given=given,
            )
            whole = totals(kernels, given)
            _print_plan(f"{name}, batch {num_rows}", kernels, whole)
            yield {"prior": name, "batch": num_rows, **whole, "kernels": table(kernels)}


def _print_plan(title: str, kernels: Sequence[PlannedKernel], whole: dict[str, Any]) -> None:
    print(f"\n{title}: {whole['launches']} launches, {whole['memory_mb']} MB, ", end="")
    times = f"predicted {whole['predicted_ms']} ms, carefully {whole['careful_ms']} ms"
    print(f"floor {whole['floor_ms']} ms, {times}")
    print(f"{'kernel':24} {'kind':13} launches programs     MB  cached MB  floor us ", end="")
    print("predicted us  careful us")
    for each in kernels:
        sizes = f"{each.memory_bytes / 1e6:7.3f} {each.cache_bytes / 1e6:10.3f}"
        times = f"{each.floor_us:9.2f} {each.predicted_us:13.2f} {each.careful_us:11.2f}"
        print(f"{each.name:24} {each.kind:13} {each.launches:8} {each.programs:8} {sizes} {times}")


def _compiled(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name, config in _configs(options):
        for num_rows in options.batch:
            launches = step_launches(
                config, num_rows=num_rows, dtype=_DTYPES[options.dtype], is_int8=options.int8
            )
            for capability in options.capability:
                print(f"\n{name}, batch {num_rows}, sm_{capability}")
                print(f"{'kernel':24} programs  registers  spilled bytes  shared bytes")
                for launch in distinct(launches):
                    yield {
                        "prior": name,
                        "batch": num_rows,
                        "capability": capability,
                        **_compile_one(launch, capability),
                    }


def _compile_one(launch: Launch, capability: int) -> dict[str, Any]:
    kernel = compile_launch(launch, capability=capability)
    programs = " x ".join(str(size) for size in launch.grid)
    numbers = f"{kernel.num_registers:10} {kernel.spill_bytes:14} {kernel.shared_bytes:13}"
    print(f"{kernel.name:24} {programs:>8} {numbers}", flush=True)
    return {
        "name": kernel.name,
        "grid": launch.grid,
        "num_warps": launch.num_warps,
        "num_stages": launch.num_stages,
        "registers": kernel.num_registers,
        "spill_bytes": kernel.spill_bytes,
        "shared_bytes": kernel.shared_bytes,
    }


@torch.inference_mode()
def _measured(options: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    for name, config in _configs(options):
        prior = random_prior(config, device, _DTYPES[options.dtype])
        prior = prior.use_int8_weights() if options.int8 else prior
        for num_rows in options.batch:
            run = _Run(prior, num_rows, device)
            kernels = list(run.kernels())
            steps = {"fused_ms": run.step_ms("fused"), "plain_ms": run.step_ms("plain")}
            print(f"\n{name}, batch {num_rows}: {steps}")
            for kernel in kernels:
                print("  ".join(f"{key} {value}" for key, value in kernel.items()))
            yield {"prior": name, "batch": num_rows, **steps, "kernels": kernels}


class _Run:
    """The stack of one prior on a GPU with rows in the middle of their windows."""

    def __init__(self, prior: JukeboxPrior, num_rows: int, device: torch.device) -> None:
        self._prior, self._config = prior, prior.config
        self._launches: list[Launch] = []
        self._cache = prior.allocate_cache(num_rows)
        width = prior.config.transformer.width
        self._x = torch.randn(num_rows, width, device=device)
        middle = prior.config.transformer.context_tokens // 2
        self._positions = torch.full((num_rows,), middle, device=device)
        self._slots = torch.arange(num_rows, device=device)
        self._stack = TritonStack(prior.transformer, self._cache, start=self._note)

    def _note(self, launch: Launch) -> None:
        start(launch)
        self._launches.append(launch)

    def kernels(self) -> Iterator[dict[str, Any]]:
        """Each kernel by itself: through its layers and over again, so that no cache has it."""
        self._stack.decode(self._x.clone(), self._positions, self._slots)
        groups: dict[Any, list[Launch]] = {}
        for launch in self._launches:
            groups.setdefault(launch_key(launch), []).append(launch)
        for group in groups.values():
            rounds = -(-_MIN_LAUNCHES // len(group))
            seconds = _replayed(lambda each=group * rounds: [start(launch) for launch in each])
            one_us = 1e6 * seconds / (rounds * len(group))
            num_bytes = launch_bytes(group[0], self._config, len(self._x))
            yield {
                "name": group[0].kernel.__name__,
                "grid": group[0].grid,
                "launches": len(group),
                "microseconds": round(one_us, 3),
                "gb_per_sec": round(num_bytes / one_us / 1e3, 1),
            }

    def step_ms(self, kind: str) -> float:
        """A whole stack, replayed."""

        def fused() -> object:
            return self._stack.decode(self._x, self._positions, self._slots)

        def plain() -> object:
            plan = self._cache.plan(self._positions, self._slots)
            return self._prior.transformer.decode(self._x, self._cache, plan)

        return round(1e3 * _replayed(fused if kind == "fused" else plain), 4)


def _replayed(run: Callable[[], object]) -> float:
    """Median seconds of a replay of what `run` starts."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    graph.replay()
    seconds = []
    for _ in range(_REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def _configs(options: argparse.Namespace) -> Iterator[tuple[str, JukeboxPriorConfig]]:
    for name in options.priors:
        model, level = FULL_SIZE[name]
        yield name, released_config(model).prior(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="arithmetic alone, as by default")
    what.add_argument("--compile", action="store_true", help="for GPUs that need not be here")
    what.add_argument("--device", help="measure on this one: cuda")
    parser.add_argument("--priors", nargs="+", choices=FULL_SIZE, default=list(FULL_SIZE))
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--dtype", choices=_DTYPES, default="fp16")
    parser.add_argument("--int8", action="store_true", help="int8 weights")
    parser.add_argument("--capability", type=int, nargs="+", choices=(80, 90), default=[90])
    return parser


if __name__ == "__main__":
    main()
