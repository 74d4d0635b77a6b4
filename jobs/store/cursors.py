"""Cursors of lists: where a page ended, as an opaque word."""

import base64
import re
from collections.abc import Sequence

from jobs.errors import InvalidCursor

_MOMENT = r"(\d{1,17})\.(job_[0-9a-f]{32})"
_CURSORS = {
    "-created_at": re.compile(_MOMENT, re.ASCII),
    "created_at": re.compile(rf"\+{_MOMENT}", re.ASCII),
    "title": re.compile("t\\.([01].{0,400}\0job_[0-9a-f]{32})", re.DOTALL | re.ASCII),
}
_BEGINNINGS = {"-created_at": "", "created_at": "+", "title": "t."}


def cursor_after(position: Sequence[str], order: str) -> str:
    """The cursor of the page that begins behind this position."""
    text = _BEGINNINGS[order] + ".".join(position)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str, order: str) -> list[str]:
    """The position behind which this page begins.

    Raises InvalidCursor, also for a cursor of a list in another order.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError:
        text = ""
    match = _CURSORS[order].fullmatch(text)
    if match is None:
        raise InvalidCursor(
            "this cursor was not made by this service for this order; take next_cursor of a page"
        )
    return [*match.groups()]
