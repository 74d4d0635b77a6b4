"""Server-sent events (WHATWG HTML, section 9.2), and a job as its events change it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from jukebox_client.documents import Document
from jukebox_client.errors import UnexpectedAnswer
from jukebox_client.models import EVENT_DATA, Job, Progress

TERMINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "expired"})


def is_over(job: Job) -> bool:
    """Whether nothing will change about the job any more."""
    return job.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event as it was sent; `id` is the last id that the stream named, empty before."""

    kind: str
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event; `data` is as `EVENT_DATA` names it, a Document for kinds of later releases."""

    kind: str
    data: Document
    id: str

    @property
    def ends_the_job(self) -> bool:
        """Whether the job is over with it."""
        return getattr(self.data, "status", None) in TERMINAL_STATUSES


class EventParser:
    """Turns the lines of a stream, without their line ends, into events.

    Comments (the service's pings) and events without data are passed over; an event that the end
    of the stream cut short is dropped, as the standard says.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.is_ended = False
        """Set by the reader of the stream when the service says that nothing more will come."""
        self.retry_sec: float | None = None
        self._kind, self._data = "message", list[str]()

    def feed(self, line: str) -> ServerEvent | None:
        """The event that a line completes."""
        if not line:
            event = ServerEvent(self._kind, "\n".join(self._data), self.last_id)
            has_data = bool(self._data)
            self._kind, self._data = "message", []
            return event if has_data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._kind = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self.last_id = value
        elif field == "retry" and value.isdecimal():
            self.retry_sec = int(value) / 1000
        return None


def typed_event(event: ServerEvent, stream: str) -> JobEvent:
    """The event with its data as a document; data of another shape stays an open document.

    `stream` is the operation, e.g. `streamEvents`: the same name has other data in each.

    Raises:
        UnexpectedAnswer: the event is not of this service.
    """
    content = _data_of(event)
    try:
        data = EVENT_DATA[stream].get(event.kind, Document).model_validate(content)
    except ValidationError:
        data = Document.model_validate(content)
    return JobEvent(event.kind, data, event.id)


def job_after(job: Job | None, event: ServerEvent) -> Job | None:
    """The job after one event of its stream; None while no snapshot has come.

    Raises:
        UnexpectedAnswer: the event is not of this service.
    """
    data = _data_of(event)
    try:
        return _job_after(job, event.kind, data)
    except ValidationError as error:
        raise UnexpectedAnswer(f"an event has a job that this client cannot read: {error}") from (
            error
        )


def _job_after(job: Job | None, kind: str, data: dict[str, Any]) -> Job | None:
    if kind == "snapshot":
        return Job.model_validate(data)
    if isinstance(data.get("job"), dict):
        return Job.model_validate(data["job"])
    if kind == "progress" and job is not None and job.progress is not None:
        before = job.progress.model_dump(exclude_unset=True)
        eta_sec = data.pop("eta_seconds", job.eta_seconds)
        progress = Progress.model_validate(_merged(before, data))
        return job.model_copy(update={"progress": progress, "eta_seconds": eta_sec})
    return job


def _data_of(event: ServerEvent) -> dict[str, Any]:
    """The object in an event. Raises UnexpectedAnswer when there is something else."""
    try:
        content = json.loads(event.data)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UnexpectedAnswer(f"an event {event.kind!r} has no JSON object as its data")
    return content


def _merged(progress: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
    changes = news.get("levels") or {}
    levels = [{**level, **changes.get(level["level"], {})} for level in progress["levels"]]
    return {**progress, **news, "levels": levels}
