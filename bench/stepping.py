"""Draws a window in transformers, and notes when each token came."""

import time
from collections.abc import Callable, Iterable, Iterator
from unittest import mock

import numpy as np
import torch
from transformers.models.deprecated.jukebox import modeling_jukebox

from bench.pairs_of_priors import PriorPair


class _Clock:
    """Stands in for a progress bar (whose drawing costs them 10%) and notes when tokens begin."""

    last: "_Clock"
    now: Callable[[], float]

    def __init__(self, over: Iterable[int], **options: object) -> None:
        self._over = over
        self.times: list[float] = []
        _Clock.last = self

    def __iter__(self) -> Iterator[int]:
        for each in self._over:
            self.times.append(_Clock.now())
            yield each
        self.times.append(_Clock.now())

    def set_description(self, text: str, refresh: bool = True) -> None:
        """Say nothing."""


@torch.inference_mode()
def their_step_times(
    pair: PriorPair,
    num_rows: int,
    num_tokens: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds of every token but the first, which includes what is done once for a window."""
    device = next(pair.theirs.parameters()).device
    upper = pair.upper_codes(num_rows)
    _Clock.now = staticmethod(clock)
    with mock.patch.object(modeling_jukebox, "tqdm", _Clock):
        pair.theirs.sample(
            num_rows,
            music_tokens_conds=[] if upper is None else [upper.to(device)],
            metadata=pair.labels(num_rows).to(device),
            temp=0.99,
            sample_tokens=num_tokens,
        )
    seconds: list[float] = np.diff(_Clock.last.times)[1:].tolist()
    return seconds
