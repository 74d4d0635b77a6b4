"""Levels that overlap: each window is drawn as soon as what lies above it is there.

The same codes as level after level, in another order: a window depends on what lies before it and
above it, and on nothing else. The order goes down as soon as it can, so that the beginning of the
song is finished at all levels while its end is not yet begun at any.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from jukebox_core.config import JukeboxConfig
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.ancestral import begin_level, draw_next_window
from jukebox_core.sampling.cascade import SongPlan
from jukebox_core.sampling.modes import Rows, SongOptions, level_task
from jukebox_core.sampling.side_by_side import draw_stretches
from jukebox_core.sampling.windows import Window
from jukebox_core.song import Song
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.chunks import decoder_reach_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Windows of one level that are drawn next: one, or all of a level in stretches."""

    level: Level
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """New codes of one level, int64 [B, n], which begin at the token `start`."""

    level: Level
    start: int
    codes: Tensor


def plan_turns(config: JukeboxConfig, plan: SongPlan) -> Iterator[Turn]:
    """All windows of a plan: always the finest that can be drawn already."""
    waiting = {
        level: deque([each.windows] if len(each.stretches) > 1 else [(w,) for w in each.windows])
        for level, each in plan.levels.items()
    }
    done = {
        level: each.windows[0].first_new if each.windows else each.total_tokens
        for level, each in plan.levels.items()
    }

    def is_ready(level: Level) -> bool:
        if not waiting[level]:
            return False
        if level.upper is None:
            return True
        start = waiting[level][0][-1].start // config.time_base.tokens_per_upper_token(level)
        needed = start + config.prior(level).upper_context_tokens
        return min(needed, plan.levels[level.upper].total_tokens) <= done[level.upper]

    while any(waiting.values()):
        level = next(level for level in sorted(waiting) if is_ready(level))
        windows = waiting[level].popleft()
        done[level] = windows[-1].end
        yield Turn(level=level, windows=windows)


@torch.inference_mode()
def iter_cascade(
    config: JukeboxConfig,
    prior_of: Callable[[Level], JukeboxPrior],
    plan: SongPlan,
    song: Song,
    rows: Rows,
    options: SongOptions,
) -> Iterator[Drawn]:
    """Draw every level of the plan, the beginning of the song first.

    `prior_of` is asked at every turn: all priors should have room on the device.

    Yields:
        what is kept of each level, then the new codes of each window as soon as they are drawn;
        without the lead-out.
    """
    codes: dict[Level, Tensor] = {}
    for index, level in enumerate(song.levels):
        kept = rows.kept[index] if index < len(rows.kept) else None
        codes[level] = begin_level(level_task(prior_of, plan, song, rows, options, level), kept)
        if kept is not None and kept.shape[1]:
            yield Drawn(level=level, start=0, codes=codes[level][:, : kept.shape[1]])
    for turn in plan_turns(config, plan):
        level = turn.level
        task = level_task(prior_of, plan, song, rows, options, level)
        upper = None if level.upper is None else codes[level.upper].to(task.device)
        start, end = turn.windows[0].first_new, turn.windows[-1].end
        if len(task.plan.stretches) > 1:
            codes[level] = draw_stretches(
                task,
                prompt=codes[level][:, :start],
                upper_codes=upper,
                on_progress=options.get("progress"),
            )
        else:
            draw_next_window(task, turn.windows[0], codes[level], upper, options.get("progress"))
        heard = codes[level][:, start : min(end, task.plan.heard_tokens)]
        if heard.shape[1]:
            yield Drawn(level=level, start=start, codes=heard)


@torch.inference_mode()
def iter_finished_sound(
    vqvae: JukeboxVQVAE, level: Level, turns: Iterator[Drawn], total_tokens: int
) -> Iterator[Tensor]:
    """The sound of `level` as far as no code to come can change it: float32 [B, samples, 1] each.

    `turns` bring `total_tokens` of that level, in order, among codes of others.
    """
    reach_tokens = decoder_reach_tokens(vqvae.config, level)
    codes: Tensor | None = None
    heard = 0
    for drawn in turns:
        if drawn.level is not level:
            continue
        codes = drawn.codes if codes is None else torch.cat((codes, drawn.codes), dim=1)
        num_tokens = codes.shape[1]
        end = num_tokens if num_tokens == total_tokens else num_tokens - reach_tokens
        if end > heard:
            yield vqvae.decode_between(codes, level, heard, end)
            heard = end
