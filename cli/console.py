"""Where commands write: results to standard output, everything else to standard error."""

from functools import cache

from rich.console import Console
from rich.markup import escape

__all__ = ["escape", "notes", "results"]


@cache
def results() -> Console:
    """The console for what was asked for: paths, tables, job ids."""
    return Console(soft_wrap=True, highlight=False)


@cache
def notes() -> Console:
    """The console for how it goes: progress, hints, errors."""
    return Console(stderr=True, soft_wrap=True, highlight=False)
