"""Progress over many files: one live bar on a terminal, a line now and then anywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from cli.terminal.console import escape

_LINE_EVERY_SEC = 10.0


class FileProgress:
    """How many of `total` files are done; a fraction counts what is done of the current one."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._done = 0
        self._began = self._said_at = time.monotonic()
        self._bar: Progress | None = None

    @contextmanager
    def shown(self) -> Iterator["FileProgress"]:
        """Show it during the block."""
        if not self._console.is_terminal:
            yield self
            return
        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("files,"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
        )
        with self._bar:
            self._bar.add_task("", total=self._total)
            yield self

    def one_more(self) -> None:
        """A file is done, or given up."""
        self._done += 1
        self.at(0.0)

    def at(self, fraction: float) -> None:
        """How much of the current file is done, from 0 to 1."""
        done = self._done + fraction
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
            return
        now = time.monotonic()
        if now - self._said_at < _LINE_EVERY_SEC or not done or self._done == self._total:
            return
        self._said_at = now
        left_sec = (now - self._began) / done * (self._total - done)
        self.say(f"{self._done:,} of {self._total:,} files, about {left_sec:,.0f} s left")

    def say(self, line: str) -> None:
        """Write one line, above the bar."""
        self._console.print(escape(line))
