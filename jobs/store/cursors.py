"""Cursors of lists: where a page ended, as an opaque word."""

import base64
import re

from jobs.errors import InvalidCursor

_CURSOR = re.compile(r"(\d{1,17})\.(job_[0-9a-f]{32})", re.ASCII)


def cursor_after(created_us: str, job_id: str) -> str:
    """The cursor of the page that begins after this job."""
    text = f"{created_us}.{job_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> tuple[str, str]:
    """Microseconds and id of the last job of the page before. Raises InvalidCursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidCursor("this cursor was not made by this service; take next_cursor of a page")
    return match[1], match[2]
