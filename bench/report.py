"""What a measurement says: tables for people, and one line of JSON last."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Figures = dict[str, Any]


def tell(figures: Mapping[str, Any]) -> None:
    """The last line of every measurement."""
    print(json.dumps(figures), flush=True)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """For people: a table in Markdown. Rows may lack columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |", flush=True)


def significant(value: float, digits: int = 4) -> float:
    """To so many digits that count, so that nothing small becomes 0."""
    return float(f"{value:.{digits}g}")


def megabytes(num_bytes: float) -> float:
    """To a tenth."""
    return round(num_bytes / 1e6, 1)


def gigabytes(num_bytes: float) -> float:
    """To a hundredth."""
    return round(num_bytes / 1e9, 2)
