"""Tables that fit the terminal: no cell is folded, and the least important columns go first."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

_GAP = 2
_LEAST_FLEXIBLE = 20
WIDE_COLUMNS = 140
"""From here on there is room for whole ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`rank` above 0: left out where there is no room, the highest first.

    A flexible column takes what the others leave, and is cut with an ellipsis.
    """

    heading: str
    rank: int = 0
    is_flexible: bool = False
    justify: JustifyMethod = "left"


def fitted_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], width: int
) -> Table:
    """The rows as a table of at most `width` terminal columns. Strings are shown as they are."""
    cells = [[clean(cell) for cell in row] for row in rows]
    natural = [
        max(cell_len(column.heading), *(cell_len(row[index].plain) for row in cells), 0)
        for index, column in enumerate(columns)
    ]
    empty = {
        i
        for i, column in enumerate(columns)
        if not (column.is_flexible or any(row[i] for row in cells))
    }
    kept = _columns_that_fit(columns, natural, width, empty)
    room = width - sum(natural[i] for i in kept if not columns[i].is_flexible)
    room -= _GAP * (len(kept) - 1)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for index in kept:
        column = columns[index]
        shown = min(natural[index], max(room, 1)) if column.is_flexible else natural[index]
        table.add_column(
            column.heading, justify=column.justify, no_wrap=True, overflow="ellipsis", width=shown
        )
    for row in cells:
        table.add_row(*(row[index] for index in kept))
    return table


def _columns_that_fit(
    columns: Sequence[Column], natural: Sequence[int], width: int, empty: Set[int]
) -> list[int]:
    """Indexes of columns; those without a word go first where any cell would be cut."""
    kept = list(range(len(columns)))
    if sum(natural) + _GAP * (len(kept) - 1) > width:
        kept = [i for i in kept if i not in empty]
    while True:
        least = [
            min(natural[i], _LEAST_FLEXIBLE) if columns[i].is_flexible else natural[i] for i in kept
        ]
        optional = [i for i in kept if columns[i].rank]
        if sum(least) + _GAP * (len(kept) - 1) <= width or not optional:
            return kept
        kept.remove(max(optional, key=lambda i: columns[i].rank))


def clean(cell: str | Text) -> Text:
    """A cell on one line, without characters that would move the cursor or change colors."""
    if isinstance(cell, Text):
        return cell
    return Text("".join(each if each.isprintable() else " " for each in cell).strip())
