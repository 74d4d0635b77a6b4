"""Where commands write: results to standard output, everything else to standard error."""

import sys
from functools import cache

from rich.console import Console
from rich.markup import escape

__all__ = ["escape", "notes", "results"]

_PIPE_COLUMNS = 240


@cache
def results() -> Console:
    """The console for what was asked for: paths, tables, job ids.

    A pipe gets wide lines, so that a program need not put ids together again.
    """
    return Console(
        soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS
    )


@cache
def notes() -> Console:
    """The console for how it goes: progress, hints, errors."""
    return Console(stderr=True, soft_wrap=True, highlight=False)
