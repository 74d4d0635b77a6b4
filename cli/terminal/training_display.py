"""What a training run shows: a bar on a terminal, and lines that fit its width."""

import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.terminal.console import escape
from jukebox_core.training.progress import TrainingProgress

_LINE_EVERY_SEC = 15.0
"""Without a terminal, so often something is said at least."""
_FIRST_FIGURES = ("bits_per_token", "attention_accuracy", "perplexity", "codes_used")
"""Shown before others where not all fit; the rest is in the log."""


def duration(seconds: float) -> str:
    """E.g. `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 59.5:
        return f"{max(seconds, 0):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class TrainingDisplay:
    """Steps and figures of one run of `steps` steps."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._steps = console, steps
        self._bar: Progress | None = None
        self._first: tuple[float, int] | None = None
        self._said_at = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator["TrainingDisplay"]:
        """Show the bar during the block, on a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TextColumn("{task.fields[left]}"),
            console=self._console,
        )
        with self._bar:
            self._bar.add_task("", total=self._steps, left="")
            yield self

    def step(self, done: int) -> None:
        """So many steps are done. The first call is before the first step of this process."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        left = self._time_left(done, now)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, left=left)
        elif left and now - self._said_at > _LINE_EVERY_SEC and done < self._steps:
            self._say(f"{self._share(done)}  {left}")

    def log_line(self, progress: TrainingProgress) -> None:
        """One line, with as many figures as fit; held-out figures are on lines of their own."""
        share = self._share(progress.step)
        head = f"{share}  loss {_number(progress.loss)}"
        tail = f"  {duration(progress.seconds_left)} left"
        width = self._console.width
        for name in _in_order(progress.metrics):
            figure = f"  {_figure(name, progress.metrics[name])}"
            if len(head) + len(figure) + len(tail) > width:
                break
            head += figure
        self._say(head + tail)
        if progress.evaluation:
            figures = ", ".join(_figure(name, each) for name, each in progress.evaluation.items())
            indent = " " * (len(share) + 2)
            for line in textwrap.wrap(
                f"held out: {figures}", width, initial_indent=indent, subsequent_indent=indent
            ):
                self._say(line)

    def _share(self, done: int) -> str:
        total = f"{self._steps:,}"
        return f"{done:>{len(total)},}/{total}"

    def _time_left(self, done: int, now: float) -> str:
        if self._first is None or done <= self._first[1]:
            return ""
        began, steps_before = self._first
        sec_per_step = (now - began) / (done - steps_before)
        return f"about {duration(sec_per_step * (self._steps - done))} left"

    def _say(self, line: str) -> None:
        self._said_at = time.monotonic()
        self._console.print(escape(line))


def _in_order(figures: Mapping[str, float]) -> list[str]:
    first = [name for name in _FIRST_FIGURES if name in figures]
    return first + [name for name in figures if name not in first]


def _figure(name: str, value: float) -> str:
    return f"{name.replace('_', ' ')} {_number(value)}"


def _number(value: float) -> str:
    return f"{value:,.{0 if abs(value) >= 100 else 3}f}"
