"""Windows sampled through the engine that workers have, timed step by step."""

import itertools
import logging
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.floor import floor_sec, step_work
from bench.machine import Clock, wait_for
from bench.report import significant
from jukebox_core.backends.choose import BACKENDS, Target, reason_against
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.engine import Engine
from jukebox_core.engine import Sequence as EngineSequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams

_FIRST_TURNS = 8
"""In so many turns at most everything was done once: buffers made, graphs captured."""


def label_rows(config: JukeboxPriorConfig, num_rows: int) -> Tensor:
    """Label vectors int64 [num_rows, W] of the first window of three minutes of music."""
    num_lyrics = 0 if config.lyrics is None else config.lyrics.num_tokens
    lyrics = torch.randint(1, 79, (num_rows, num_lyrics), generator=torch.manual_seed(3))
    max_genres = config.labels.max_genres if config.labels is not None else 1
    fixed = [180 * config.sample_rate_hz, 0, config.context_samples, 2, 3, *[-1] * (max_genres - 1)]
    return torch.cat((torch.tensor(fixed).expand(num_rows, -1), lyrics), dim=1)


def upper_code_rows(config: JukeboxPriorConfig, num_rows: int) -> Tensor | None:
    """Codes of the level above, int64 [num_rows, upper_context_tokens]; None at the top."""
    size = (num_rows, config.upper_context_tokens)
    codes = torch.randint(0, config.num_codes, size, generator=torch.manual_seed(5))
    return codes if size[1] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A backend, and whether its steps are captured once and replayed."""

    backend: str
    is_captured: bool = False

    @property
    def name(self) -> str:
        """`torch`, `torch graph` ..."""
        return self.backend + " graph" * self.is_captured


def ways_on(prior: JukeboxPrior, device: torch.device) -> list[Way]:
    """Plain torch first; then the other backends that can be had, on CUDA captured ones."""
    target = Target(device_type=device.type, is_float32=prior.compute_dtype == torch.float32)
    able = [name for name in reversed(BACKENDS) if reason_against(name, target) is None]
    if device.type == "cuda":
        return [Way(backend="torch"), *(Way(backend=name, is_captured=True) for name in able)]
    return [Way(backend=name) for name in able]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One window of some rows: turns of all rows together, `(tokens of each, seconds)`.

    begin_sec   of each row that joined, one after the other
    peak_bytes  the most memory in use, on a GPU
    num_graphs  captured steps
    warnings    of the engine: it went on without a backend, without graphs, or in fewer rows
    """

    begin_sec: list[float]
    turns: list[tuple[int, float]]
    peak_bytes: int | None = None
    num_graphs: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def step_times(self) -> list[float]:
        """Seconds of every token; a turn that sampled several counts for each of them."""
        return [seconds / count for count, seconds in self.turns for _ in range(count)]

    @property
    def warm_up_sec(self) -> float:
        """What the first turns took beyond what their tokens take later: captures most of all."""
        usual = statistics.median(self.step_times)
        return sum(max(sec - count * usual, 0.0) for count, sec in self.turns[:_FIRST_TURNS])


@torch.inference_mode()
def engine_run(
    prior: JukeboxPrior,
    num_rows: int,
    num_tokens: int,
    *,
    way: Way,
    clock: Clock = time.perf_counter,
) -> EngineRun:
    """Sample `num_tokens` of a window in every row, through the engine that workers have.

    A turn of a single token that ends a window is left out: it also takes the codes to the host.
    On CUDA turns are timed by the device, which nobody waits for between them.

    Raises torch.OutOfMemoryError if the rows do not fit, or what else stopped one of them.
    """
    device, level = prior.position_embedding.device, prior.config.level
    maker = capturer_maker(device, GraphWish.AUTO, weights_stay=True) if way.is_captured else None
    engine = Engine({level: prior}, max_rows=num_rows, device=device, make_capturer=maker)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    # Rows begin one after the other, and those that have begun go on meanwhile.
    num_new = min(num_tokens + num_rows - 1, prior.config.context_tokens)
    for sequence in _sequences(prior, num_rows, num_new, way.backend):
        engine.submit(sequence)
    last, begun, counts = str(num_rows - 1), [_mark(device, clock)], list[int]()
    with _warnings_of_engine() as warnings:
        for _ in range(num_rows):
            _step(engine)
            begun.append(_mark(device, clock))
        if not engine.progress(last):
            raise torch.OutOfMemoryError(f"{num_rows} rows do not fit")
        marks, is_over = [begun[-1]], False
        while engine.has_work and not is_over:
            before = engine.progress(last)
            ended = _step(engine)
            marks.append(_mark(device, clock))
            is_over = bool(ended)
            counts.append((num_new if last in ended else engine.progress(last)) - before)
    wait_for(device)
    turns = list(zip(counts, _seconds_between(marks), strict=True))
    graphs = engine.graphs(level)
    return EngineRun(
        begin_sec=_seconds_between(begun),
        turns=turns[:-1] if len(turns) > 1 and turns[-1][0] == 1 else turns,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        num_graphs=0 if graphs is None else graphs.num_captured,
        warnings=tuple(warnings),
    )


def _step(engine: Engine) -> set[str]:
    """One turn; the ids that ended in it."""
    updates = engine.step()
    for error in [update.error for update in updates if update.error is not None]:
        raise error
    return {update.id for update in updates}


@contextmanager
def _warnings_of_engine() -> Iterator[list[str]]:
    """What it warns of meanwhile: the figures are not what they are called then."""
    logger, messages = logging.getLogger("jukebox_core"), list[str]()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _sequences(
    prior: JukeboxPrior, num_rows: int, num_new: int, backend: str
) -> Iterator[EngineSequence]:
    labels, upper = label_rows(prior.config, num_rows), upper_code_rows(prior.config, num_rows)
    for row in range(num_rows):
        yield EngineSequence(
            id=str(row),
            level=prior.config.level,
            labels=tuple(labels[row].tolist()),
            prefix_codes=np.zeros(0, dtype=np.int64),
            upper_codes=None if upper is None else upper[row].numpy(),
            start_token=0,
            num_new=num_new,
            sample=row,
            params=SamplingParams(temperature=0.99),
            noise=CounterNoise(0),
            backend=backend,
        )


def _mark(device: torch.device, clock: Clock) -> Any:  # noqa: ANN401
    """A moment: of the clock, or in the line of work of a GPU."""
    if device.type != "cuda":
        return clock()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def _seconds_between(marks: Sequence[Any]) -> list[float]:
    return [
        later - earlier if isinstance(later, float) else earlier.elapsed_time(later) / 1e3
        for earlier, later in itertools.pairwise(marks)
    ]


def summary(
    name: str,
    prior: JukeboxPrior,
    num_rows: int,
    way: Way,
    runs: Sequence[EngineRun],
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """What the steps of some windows took, beside their floor, as one row of a table."""
    windows = [run.step_times for run in runs]
    step_sec = statistics.median(statistics.median(times) for times in windows)
    work = step_work(prior, num_rows)
    floor = floor_sec(work, prior.position_embedding.device, clock)
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return {
        "prior": name,
        "width": prior.config.transformer.width,
        "layers": prior.config.transformer.num_layers,
        "batch": num_rows,
        "step": way.name,
        "tokens_per_sec": round(num_rows / step_sec, 1),
        "step_ms": round(1e3 * step_sec, 3),
        "floor_ms": round(1e3 * floor, 3),
        "floor_share": significant(floor / step_sec, 3),
        "weight_mb": round(work.weight_bytes / 1e6, 1),
        "gflop_per_sec": round(work.flop / step_sec / 1e9, 1),
        "last_over_first_tenth": last_over_first_tenth(windows),
        "begin_ms": round(1e3 * statistics.median(runs[0].begin_sec), 2),
        "warm_up_seconds": round(runs[0].warm_up_sec, 4),
        "peak_mb": round(max(peaks) / 1e6, 1) if peaks else None,
        "graphs": runs[0].num_graphs,
        "warnings": "; ".join(dict.fromkeys(each for run in runs for each in run.warnings)),
    }


def last_over_first_tenth(windows: Iterable[list[float]]) -> float:
    """Cost of a token in the last tenth of a window over that in the first: 1 is flat."""
    tenths = [(times, max(len(times) // 10, 1)) for times in windows]
    ratios = [statistics.median(t[-n:]) / statistics.median(t[:n]) for t, n in tenths]
    return round(statistics.median(ratios), 3)
