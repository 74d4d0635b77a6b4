"""Draws a window in this library's engine, and notes how long each step took."""

import time
from collections.abc import Callable

import numpy as np
from torch import Tensor

from bench.machine import wait_for
from jukebox_core.engine import Engine, Sequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams


def our_step_times(
    prior: JukeboxPrior,
    labels: Tensor,
    upper_codes: Tensor | None,
    num_tokens: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds of every step of the engine in which all rows draw and none begins.

    One row for each of `labels`; each draws `num_tokens` from the start of a window. On a GPU the
    engine does not wait for the device, and the clock does, after every step.
    """
    device = prior.position_embedding.device
    engine = Engine({prior.config.level: prior}, max_rows=len(labels), device=device)
    for row, row_labels in enumerate(labels.tolist()):
        engine.submit(_sequence(prior, row, row_labels, upper_codes, num_tokens))
    times: list[float] = []
    for _ in range(len(labels)):
        engine.step()  # one row begins in each of these
    while engine.has_work:
        start = clock()
        ended = engine.step()
        wait_for(device)
        if ended:
            break
        times.append(clock() - start)
    return times


def _sequence(
    prior: JukeboxPrior, row: int, labels: list[int], upper_codes: Tensor | None, num_tokens: int
) -> Sequence:
    return Sequence(
        id=str(row),
        level=prior.config.level,
        labels=tuple(labels),
        prefix_codes=np.zeros(0, dtype=np.int64),
        upper_codes=None if upper_codes is None else upper_codes[row].numpy(),
        start_token=0,
        num_new=num_tokens,
        sample=row,
        params=SamplingParams(temperature=0.99),
        noise=CounterNoise(0),
    )
