"""Files on their way: bars on a terminal, a line at every tenth anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cli.terminal.console import bar_columns

_WORTH_A_LINE_BYTES = 16 << 20


class TransferDisplay(Protocol):
    """Shows what is fetched and converted."""

    def show(self, name: str, num_bytes: int, total: int | None) -> None:
        """`num_bytes` of the file `name` are there; it will have `total`, where that is known."""

    def part(self, name: str) -> None:
        """The part `name` is being converted."""


@contextmanager
def transfer_display(console: Console, *, bars: bool = True) -> Iterator[TransferDisplay]:
    """Bars for a terminal, lines for a pipe or a log, or where somebody else draws bars."""
    if not (bars and console.is_terminal):
        yield TransferLines(console)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=bar_columns(console)),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield TransferBars(progress)


class TransferBars:
    """One bar for each file."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, num_bytes: int, total: int | None) -> None:
        """Bring the bar of a file up to date."""
        if name not in self._tasks:
            # What an earlier call has fetched is no speed of this one.
            self._tasks[name] = self._progress.add_task(name, total=total, completed=num_bytes)
        self._progress.update(self._tasks[name], completed=num_bytes, total=total)

    def part(self, name: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(f"writing {name}")


class TransferLines:
    """A line when a large file begins, at every tenth, and when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, int] = {}

    def show(self, name: str, num_bytes: int, total: int | None) -> None:
        """Write a line if the file has come a tenth further."""
        if total is None or total < _WORTH_A_LINE_BYTES:
            return
        tenths = 10 * num_bytes // total
        if tenths > self._shown.get(name, -1):
            self._shown[name] = tenths
            self._console.print(f"{name}: {num_bytes / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    def part(self, name: str) -> None:
        """Write a line."""
        self._console.print(f"writing {name}")
