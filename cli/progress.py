"""Progress of three levels: live bars on a terminal, a line now and then anywhere else."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.terminal.console import bar_columns
from jukebox_client import Job
from jukebox_client.models import LevelMetrics, LevelProgress

_PLAIN_STEP = 0.25
"""Without a terminal, a level is mentioned after each quarter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelState:
    """How far one level is. Windows are 0 of 0 where nobody counts them."""

    level: str
    tokens_done: int
    tokens_total: int
    windows_done: int = 0
    windows_total: int = 0
    tokens_per_second: float | None = None

    @property
    def windows(self) -> str:
        """E.g. `window 2/5`: the one being drawn, or the last; empty before the first token."""
        if not (self.windows_total and self.tokens_done):
            return ""
        now = min(self.windows_done + 1, self.windows_total)
        return f"window {now}/{self.windows_total}"


class LevelDisplay(Protocol):
    """Shows levels as they advance; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, states: Iterable[LevelState]) -> None:
        """Bring the display up to date; call it as often as there is news."""

    def say(self, line: str) -> None:
        """Write one line above the bars."""


def level_display(console: Console) -> LevelDisplay:
    """Bars for a terminal, lines for a pipe or a log."""
    return LiveLevels(console) if console.is_terminal else PlainLevels(console)


def states_of_job(job: Job) -> list[LevelState]:
    """The levels of a job as the service shows it, from the coarsest to the finest."""
    metrics = job.metrics.levels
    return [_state_of_level(job, level, metrics.get(level.level)) for level in job.progress.levels]


def _state_of_level(job: Job, level: LevelProgress, figures: LevelMetrics | None) -> LevelState:
    # Tokens are counted per take, but the service's rate is that of all takes together.
    takes = job.input.num_samples
    return LevelState(
        level=level.level,
        tokens_done=level.tokens_done,
        tokens_total=level.tokens_total,
        windows_done=level.windows_done,
        windows_total=level.windows_total,
        tokens_per_second=figures.tokens_per_second / takes if figures else None,
    )


class LiveLevels:
    """One bar per level: tokens, window, tokens per second, time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<7}"),
            BarColumn(bar_width=bar_columns(console)),
            MofNCompleteColumn(),
            TextColumn("{task.fields[windows]}"),
            _RateColumn("", style="progress.data.speed"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, states: Iterable[LevelState]) -> None:
        """Bring the bars up to date."""
        for state in states:
            self._show_level(state)

    def say(self, line: str) -> None:
        """Write one line above the bars."""
        self._progress.console.print(line)

    def _show_level(self, state: LevelState) -> None:
        if state.level not in self._tasks:
            # The clock of a level starts with its first token, or the time left would be nonsense.
            self._tasks[state.level] = self._progress.add_task(
                state.level, start=False, total=state.tokens_total, windows="", rate=None
            )
        task_id = self._tasks[state.level]
        if state.tokens_done and not self._progress.tasks[task_id].started:
            self._progress.start_task(task_id)
        self._progress.update(
            task_id,
            completed=state.tokens_done,
            total=state.tokens_total,
            windows=state.windows,
            rate=state.tokens_per_second,
        )


class _RateColumn(TextColumn):
    """Tokens per second: the service's own figure when it has one, else what was seen here."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rate"] or task.finished_speed or task.speed
        return Text(f"{rate:,.0f} tokens/s" if rate else "", style="progress.data.speed")


@dataclass
class PlainLevels:
    """A line when a level begins, at each quarter, and when it ends."""

    console: Console
    _shown: dict[str, float] = field(default_factory=dict)
    _began: dict[str, tuple[float, int]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put away: every line was complete."""

    def show(self, states: Iterable[LevelState]) -> None:
        """Write a line for every level that has come a quarter further."""
        for state in states:
            if not state.tokens_done:
                continue
            now = time.monotonic()
            began_at, began_tokens = self._began.setdefault(state.level, (now, state.tokens_done))
            fraction = state.tokens_done / max(state.tokens_total, 1)
            if fraction < 1.0 and fraction < self._shown.get(state.level, 0.0) + _PLAIN_STEP:
                continue
            if self._shown.get(state.level, 0.0) < 1.0:
                self._shown[state.level] = fraction
                seen_rate = (state.tokens_done - began_tokens) / max(now - began_at, 1e-3)
                self.console.print(_plain_line(state, state.tokens_per_second or seen_rate))

    def say(self, line: str) -> None:
        """Write one line."""
        self.console.print(line)


def _plain_line(state: LevelState, tokens_per_second: float) -> str:
    parts = [f"{state.tokens_done:,} of {state.tokens_total:,} tokens", state.windows]
    if tokens_per_second:
        parts.append(f"{tokens_per_second:,.0f} tokens/s")
        left_sec = (state.tokens_total - state.tokens_done) / tokens_per_second
        if left_sec > 1.0:
            parts.append(f"about {left_sec:.0f} s left")
    return f"{state.level:<7}" + ", ".join(part for part in parts if part)
