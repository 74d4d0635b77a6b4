"""Drawing the stretches of one level together: fewer steps, each with more rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from jukebox_core.sampling.ancestral import (
    LevelProgress,
    LevelTask,
    window_label_rows,
    window_upper_codes,
)
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.sampling.stretches import join_stretches
from jukebox_core.sampling.windows import Window


@dataclass(frozen=True, slots=True)
class _Row:
    """A window of one song in one stretch."""

    stretch: int
    song: int
    window: Window


def draw_stretches(
    task: LevelTask,
    *,
    prompt: Tensor | None = None,
    upper_codes: Tensor | None = None,
    on_progress: LevelProgress | None = None,
) -> Tensor:
    """What `draw_level` does, in the stretches of the plan: the first windows of all of them
    together, then the second ones, and so on. The arguments and the result are the same.
    """
    stretches, num_songs = task.plan.stretches, len(task.songs)
    streams = torch.zeros(
        len(stretches), num_songs, task.plan.total_tokens, dtype=torch.int64, device=task.device
    )
    if prompt is not None:
        streams[:, :, : prompt.shape[1]] = prompt
    if upper_codes is not None:
        upper_codes = upper_codes.to(task.device)
    batches = list(_batches(task))
    report = _Report(task, sum(rows[0].window.num_new for rows in batches), on_progress)
    for rows in batches:
        codes = _draw_rows(task, rows, streams, upper_codes, report)
        for row, row_codes in zip(rows, codes, strict=True):
            window = row.window
            streams[row.stretch, row.song, window.start : window.end] = row_codes
    joined = join_stretches(stretches, [stream.cpu().numpy() for stream in streams])
    return torch.from_numpy(joined).to(task.device)


class _Report:
    """Tells how far the level is by the steps that are done, as if it were drawn in order."""

    def __init__(self, task: LevelTask, num_steps: int, on_progress: LevelProgress | None) -> None:
        self._task, self._on_progress = task, on_progress
        self._num_steps, self._num_done = num_steps, 0

    def count(self, num_steps: int) -> None:
        """So many more steps are done."""
        self._num_done += num_steps
        if self._on_progress is None:
            return
        total, first = self._task.plan.total_tokens, self._task.plan.windows[0].first_new
        done = first + (total - first) * self._num_done // self._num_steps
        self._on_progress(self._task.level, done, total)


def _batches(task: LevelTask) -> Iterator[list[_Row]]:
    """Rows that can be drawn together: windows of one turn that are of one shape."""
    stretches = task.plan.stretches
    for turn in range(max(len(stretch.windows) for stretch in stretches)):
        alike: dict[tuple[int, int], list[_Row]] = {}
        for number, stretch in enumerate(stretches):
            if turn < len(stretch.windows):
                window = stretch.drawn(turn)
                rows = [_Row(number, song, window) for song in range(len(task.songs))]
                alike.setdefault((window.num_prefix, window.num_new), []).extend(rows)
        for rows in alike.values():
            for first in range(0, len(rows), task.max_batch_size):
                yield rows[first : first + task.max_batch_size]


def _draw_rows(
    task: LevelTask,
    rows: Sequence[_Row],
    streams: Tensor,
    upper_codes: Tensor | None,
    report: _Report,
) -> Tensor:
    """Prefix and new codes of every row: int64 [b, end - start]."""
    labels = [
        window_label_rows(task.prior, [task.songs[row.song]], task.timing, row.window.start)
        for row in rows
    ]
    prefix = [
        streams[row.stretch, row.song, row.window.start : row.window.first_new] for row in rows
    ]
    params = [task.params] * len(rows)
    return task.prior.sample(
        rows[0].window.num_new,
        torch.cat(labels).to(task.device),
        _upper_codes(task, rows, upper_codes),
        prefix=torch.stack(prefix),
        uniforms=_uniforms(task, rows).to(task.device),
        draw=partial(draw, rows=RowSampling.from_params(params, device=task.device)),
        params=params,
        on_drawn=report.count,
    )


def _upper_codes(
    task: LevelTask, rows: Sequence[_Row], upper_codes: Tensor | None
) -> Tensor | None:
    """int64 [b, upper_context_tokens] or None at the top."""
    if upper_codes is None:
        return None
    above = [
        window_upper_codes(task.prior, upper_codes[row.song : row.song + 1], row.window.start)
        for row in rows
    ]
    return torch.cat([codes for codes in above if codes is not None])


def _uniforms(task: LevelTask, rows: Sequence[_Row]) -> Tensor:
    """One number per row and new token: float64 [b, num_new]."""
    positions = np.concatenate([np.arange(row.window.first_new, row.window.end) for row in rows])
    samples = np.repeat([task.first_sample + row.song for row in rows], rows[0].window.num_new)
    numbers = task.noise.uniform(task.level, torch.from_numpy(samples), torch.from_numpy(positions))
    return numbers.reshape(len(rows), -1)
