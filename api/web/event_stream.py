"""Answers that are streams of server-sent events, written with little work for each event.

FastAPI's own take two tasks and two queues for each client, which is most of what a stream costs.
"""

from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse

SIGN_OF_LIFE = KEEPALIVE_COMMENT
"""A comment, for streams on which nothing happens."""


class EventStream(StreamingResponse):
    """Sends what an iterator gives: whole events, as `event_bytes` makes them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], status_code: int = 200) -> None:
        # The second header is for nginx, which would keep events back.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, status_code, headers=headers)


def event_bytes(
    kind: str, text: str, *, event_id: str | None = None, retry_ms: int | None = None
) -> bytes:
    """One event with JSON as its data."""
    return format_sse_event(data_str=text, event=kind, id=event_id, retry=retry_ms)
