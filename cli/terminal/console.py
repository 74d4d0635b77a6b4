"""Where commands write: results to standard output, everything else to standard error."""

import json
import os
import sys
from functools import cache
from typing import Literal

from rich.console import Console, RenderableType
from rich.markup import escape

from jukebox_client.documents import Document

__all__ = ["bar_columns", "escape", "notes", "print_fitted", "print_json", "results"]

_PIPE_COLUMNS = 240
_FIGURES_COLUMNS = 58
_LONGEST_BAR_COLUMNS = 32


def results() -> Console:
    """The console for what was asked for: paths, tables, job ids.

    A pipe gets wide lines with whole ids, unless COLUMNS is set.
    """
    is_wide = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit()
    return _console(width=_PIPE_COLUMNS if is_wide else None)


def print_fitted(*renderables: RenderableType) -> None:
    """Print tables and trees, cut to the width of the terminal, as results."""
    for renderable in renderables:
        results().print(renderable, soft_wrap=False, crop=False)


def print_json(value: object) -> None:
    """Print a result for programs; documents of the service as it sent them."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=Document.to_dict)
    results().out(text, highlight=False)


@cache
def notes() -> Console:
    """The console for how it goes: progress, hints, errors."""
    return _console(stderr=True)


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    # With NO_COLOR rich still writes bold and dim, which not every screen reader and log shows.
    colors: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, soft_wrap=True, highlight=False, width=width, color_system=colors)


def bar_columns(console: Console) -> int:
    """Width of a progress bar that leaves room for figures on the same line."""
    return min(max(console.width - _FIGURES_COLUMNS, 2), _LONGEST_BAR_COLUMNS)
