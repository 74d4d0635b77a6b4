"""Draws a window in this library's engine, and notes how long each turn took."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.machine import wait_for
from jukebox_core.backends.graphs.step_graphs import GraphBackend
from jukebox_core.engine import Engine, Sequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams

_FIRST_TURNS = 8
"""In so many turns at most everything was done once: buffers made, graphs captured."""


@dataclass(frozen=True, slots=True)
class Turn:
    """All rows draw `num_tokens` each, in `seconds`."""

    num_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One window of some rows: `begin_sec` of each row that joined, then turns of all together.

    `graphs` holds the captured steps, if any were wanted.
    """

    begin_sec: list[float]
    turns: list[Turn]
    graphs: GraphBackend | None = None

    @property
    def step_times(self) -> list[float]:
        """Seconds of every token; a turn that drew several counts for each of them."""
        return [
            turn.seconds / turn.num_tokens for turn in self.turns for _ in range(turn.num_tokens)
        ]

    @property
    def step_sec(self) -> float:
        """The median of `step_times`."""
        return statistics.median(self.step_times)

    @property
    def warm_up_sec(self) -> float:
        """What the first turns took beyond what their tokens take later: capture of graphs most of
        all, where there are any.
        """
        usual_sec = self.step_sec
        first = self.turns[:_FIRST_TURNS]
        return sum(max(turn.seconds - turn.num_tokens * usual_sec, 0.0) for turn in first)


def our_step_times(
    prior: JukeboxPrior,
    labels: Tensor,
    upper_codes: Tensor | None,
    num_tokens: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    backend: str | None = None,
) -> list[float]:
    """Seconds of every token that all rows drew together, see `our_run`."""
    run = our_run(prior, labels, upper_codes, num_tokens, clock=clock, backend=backend)
    return run.step_times


def our_run(
    prior: JukeboxPrior,
    labels: Tensor,
    upper_codes: Tensor | None,
    num_tokens: int,
    *,
    prefix_tokens: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    backend: str | None = None,
    **engine_options: Any,  # noqa: ANN401
) -> EngineRun:
    """Draw `num_tokens` of a window after `prefix_tokens` that are there, one row for each of
    `labels`. `backend` is the reference by default.

    A turn that draws a single token and ends a window is left out: it also takes the codes to the
    host. On CUDA turns are timed by the device, which nobody waits for between them.
    """
    device = prior.position_embedding.device
    options = {"max_rows": len(labels), "device": device, **engine_options}
    engine = Engine({prior.config.level: prior}, **options)
    for row, row_labels in enumerate(labels.tolist()):
        prefix = np.full(prefix_tokens, row % prior.config.num_codes, dtype=np.int64)
        engine.submit(_sequence(prior, row, row_labels, upper_codes, num_tokens, prefix, backend))
    begun, counts = [_mark(device, clock)], []
    for _ in range(len(labels)):
        engine.step()  # one row begins in each of these
        begun.append(_mark(device, clock))
    marks, last = [begun[-1]], str(len(labels) - 1)
    while engine.has_work:
        before = engine.progress(last)
        ended = engine.step()
        marks.append(_mark(device, clock))
        is_over = any(update.id == last for update in ended)
        counts.append((num_tokens if is_over else engine.progress(last)) - before)
        if ended:
            break
    wait_for(device)
    seconds = [_between(*pair) for pair in itertools.pairwise(marks)]
    turns = [Turn(count, each) for count, each in zip(counts, seconds, strict=True)]
    if len(turns) > 1 and turns[-1].num_tokens == 1:
        turns.pop()
    return EngineRun(
        begin_sec=[_between(*pair) for pair in itertools.pairwise(begun)],
        turns=turns,
        graphs=engine.graphs(prior.config.level),
    )


def _mark(device: torch.device, clock: Callable[[], float]) -> Any:  # noqa: ANN401
    """A moment: of the clock, or in the line of work of a GPU."""
    if device.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event
    wait_for(device)
    return clock()


def _between(before: Any, after: Any) -> float:  # noqa: ANN401
    """Seconds from one mark to the next."""
    if isinstance(before, float):
        return float(after - before)
    return float(before.elapsed_time(after) / 1e3)


def _sequence(
    prior: JukeboxPrior,
    row: int,
    labels: list[int],
    upper_codes: Tensor | None,
    num_tokens: int,
    prefix: np.ndarray[Any, np.dtype[np.int64]],
    backend: str | None,
) -> Sequence:
    return Sequence(
        id=str(row),
        level=prior.config.level,
        labels=tuple(labels),
        prefix_codes=prefix,
        upper_codes=None if upper_codes is None else upper_codes[row].numpy(),
        start_token=0,
        num_new=num_tokens,
        sample=row,
        params=SamplingParams(temperature=0.99),
        noise=CounterNoise(0),
        backend=backend,
    )
