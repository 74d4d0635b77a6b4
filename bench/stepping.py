"""Draws a window and notes when each token came: in this library's engine and in transformers."""

import time
from collections.abc import Iterable, Iterator
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from transformers.models.deprecated.jukebox import modeling_jukebox

from bench.machine import wait_for
from bench.pairs_of_priors import PriorPair
from jukebox_core.engine import Engine, Sequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams


def our_step_times(
    prior: JukeboxPrior, labels: Tensor, upper_codes: Tensor | None, num_tokens: int
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
        start = time.perf_counter()
        ended = engine.step()
        wait_for(device)
        if ended:
            break
        times.append(time.perf_counter() - start)
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


class _Clock:
    """Stands in for a progress bar (whose drawing costs them 10%) and notes when tokens begin."""

    last: "_Clock"

    def __init__(self, over: Iterable[int], **options: object) -> None:
        self._over = over
        self.times: list[float] = []
        _Clock.last = self

    def __iter__(self) -> Iterator[int]:
        for each in self._over:
            self.times.append(time.perf_counter())
            yield each
        self.times.append(time.perf_counter())

    def set_description(self, text: str, refresh: bool = True) -> None:
        """Say nothing."""


@torch.inference_mode()
def their_step_times(pair: PriorPair, num_rows: int, num_tokens: int) -> list[float]:
    """Seconds of every token but the first, which includes what is done once for a window."""
    upper = pair.upper_codes(num_rows)
    with mock.patch.object(modeling_jukebox, "tqdm", _Clock):
        pair.theirs.sample(
            num_rows,
            music_tokens_conds=[] if upper is None else [upper],
            metadata=pair.labels(num_rows),
            temp=0.99,
            sample_tokens=num_tokens,
        )
    return np.diff(_Clock.last.times)[1:].tolist()
