"""Drawing the codes of one level, all songs in step: the plain path that the engine must equal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import LevelPlan
from jukebox_core.sampling.noise import NoiseSource
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.sampling.windows import Window
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

LevelProgress = Callable[[Level, int, int], None]
"""Called with (level, tokens done, tokens total) of one song, after every token or every few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongTiming:
    """Where the drawn part lies in the whole imagined song, in audio samples."""

    total_samples: int
    offset_samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTask:
    """One level of a batch of songs: everything but the codes above and the codes before.

    `songs` are the labels as this level's prior reads them, one per row. Rows are numbered for the
    noise from `first_sample` on.
    """

    prior: JukeboxPrior
    plan: LevelPlan
    songs: Sequence[SongLabels]
    timing: SongTiming
    params: SamplingParams
    noise: NoiseSource
    max_batch_size: int = 16
    first_sample: int = 0

    @property
    def level(self) -> Level:
        """The level that is drawn."""
        return self.prior.config.level

    @property
    def device(self) -> torch.device:
        """Where the prior's weights are."""
        return self.prior.token_embedding.weight.device


def draw_level(
    task: LevelTask,
    *,
    prompt: Tensor | None = None,
    upper_codes: Tensor | None = None,
    on_progress: LevelProgress | None = None,
) -> Tensor:
    """Draw window after window until the plan is full; each sees the end of the one before.

    Args:
        task: what to draw and how.
        prompt: int64 [B, n], codes that are kept as they are; the plan's windows begin after them.
        upper_codes: int64 [B, T'], the finished level above; None at the top.
        on_progress: see `LevelProgress`.

    Returns:
        int64 [B, plan.total_tokens], the prompt first and the lead-out, if any, last.
    """
    codes = begin_level(task, prompt)
    if upper_codes is not None:
        upper_codes = upper_codes.to(task.device)
    for window in task.plan.windows:
        draw_next_window(task, window, codes, upper_codes, on_progress)
    return codes


def begin_level(task: LevelTask, prompt: Tensor | None = None) -> Tensor:
    """Room for all codes of a level, int64 [B, plan.total_tokens], with the prompt's in it."""
    num_rows = len(task.songs)
    codes = torch.zeros(num_rows, task.plan.total_tokens, dtype=torch.int64, device=task.device)
    if prompt is not None:
        codes[:, : prompt.shape[1]] = prompt
    return codes


def draw_next_window(
    task: LevelTask,
    window: Window,
    codes: Tensor,
    upper_codes: Tensor | None,
    on_progress: LevelProgress | None = None,
) -> None:
    """Draw a window of all songs into `codes`, int64 [B, T], which are there up to its new part.

    `upper_codes`, int64 [B, T'] on the device of the task, must be there under the window.
    """
    num_rows = len(task.songs)
    for first_row in range(0, num_rows, task.max_batch_size):
        rows = slice(first_row, min(first_row + task.max_batch_size, num_rows))
        report = on_progress if rows.stop == num_rows else None
        codes[rows, window.start : window.end] = _draw_window(
            task, window, rows, codes, upper_codes, report
        )


def window_upper_codes(
    prior: JukeboxPrior, upper_codes: Tensor | None, start_token: int
) -> Tensor | None:
    """The slice of the level above under the window that starts at `start_token`.

    Args:
        prior: the prior that draws the window; at the top there is nothing above.
        upper_codes: int64 [B, T'], the whole level above.
        start_token: first token of the window; a multiple of the prior's upsampling.

    Returns:
        int64 [B, upper_context_tokens] or None at the top.
    """
    conditioner = prior.config.conditioner
    if conditioner is None or upper_codes is None:
        return None
    start = start_token // conditioner.upsampling
    return upper_codes[:, start : start + prior.config.upper_context_tokens]


def window_label_rows(
    prior: JukeboxPrior, songs: Sequence[SongLabels], timing: SongTiming, start_token: int
) -> Tensor:
    """Label vectors of the window that starts at `start_token`: int64 [B, W], on the CPU."""
    rows = [
        window_labels(
            prior.config,
            song,
            total_samples=timing.total_samples,
            offset_samples=timing.offset_samples,
            start_token=start_token,
        )
        for song in songs
    ]
    return torch.tensor(rows, dtype=torch.int64)


def _draw_window(
    task: LevelTask,
    window: Window,
    rows: slice,
    codes: Tensor,
    upper_codes: Tensor | None,
    on_progress: LevelProgress | None,
) -> Tensor:
    """Prefix and new codes of one window for some rows: int64 [b, end - start]."""
    upper = window_upper_codes(task.prior, upper_codes, window.start)
    labels = window_label_rows(task.prior, task.songs[rows], task.timing, window.start)
    params = [task.params] * len(labels)
    done = window.first_new

    def count(num_tokens: int) -> None:
        nonlocal done
        done += num_tokens
        if on_progress is not None:
            on_progress(task.level, done, task.plan.total_tokens)

    return task.prior.sample(
        window.num_new,
        labels.to(task.device),
        None if upper is None else upper[rows],
        prefix=codes[rows, window.start : window.first_new],
        uniforms=_window_uniforms(task, window, rows).to(task.device),
        draw=partial(draw, rows=RowSampling.from_params(params, device=task.device)),
        params=params,
        on_drawn=count,
    )


def _window_uniforms(task: LevelTask, window: Window, rows: slice) -> Tensor:
    """One number per row and new position: float64 [b, num_new]."""
    positions = torch.arange(window.first_new, window.end)
    samples = task.first_sample + torch.arange(rows.start, rows.stop)
    uniforms = task.noise.uniform(
        task.level,
        samples.repeat_interleave(len(positions)),
        positions.repeat(len(samples)),
    )
    return uniforms.reshape(len(samples), len(positions))
