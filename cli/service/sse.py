"""Server-sent events, as far as a job's event stream needs them (WHATWG HTML, section 9.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` is the last id that the stream named, empty before the first."""

    kind: str
    data: str
    id: str


def parse_events(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Turn the lines of a stream, without their line ends, into events.

    Comments (the server's pings) and events without data are passed over; an event that the end
    of the stream cut short is dropped, as the standard says.
    """
    kind, data, last_id = "message", list[str](), ""
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(kind, "\n".join(data), last_id)
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
