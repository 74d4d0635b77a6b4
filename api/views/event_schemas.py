"""The payloads of event streams, and how the OpenAPI document describes a stream of them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.views.job_schemas import EXAMPLE_ID, JobView
from jobs.record.job import JobStatus, Stage
from jobs.record.request import LevelName


class LevelTokens(BaseModel):
    """What a level has done: tokens per sample, windows on disk."""

    tokens_done: int
    windows_done: int


class ProgressEvent(BaseModel):
    """Progress of a job; the one event without the whole job."""

    value: float
    level: LevelName | None = Field(description="The level in progress")
    eta_seconds: float | None = Field(description="Estimated seconds to the end; null if unknown")
    levels: dict[LevelName, LevelTokens] = Field(description="The levels that have begun")


class StatusEvent(BaseModel):
    """The status of a job changed."""

    status: JobStatus
    stage: Stage
    job: JobView


class StageEvent(BaseModel):
    """A level is finished and the next stage begins."""

    stage: Stage
    job: JobView


class OutputEvent(BaseModel):
    """An audio file can be downloaded; `job.outputs` has it."""

    level: LevelName
    sample: int
    job: JobView


JOB_EVENTS: Mapping[str, type[BaseModel]] = {
    "snapshot": JobView,
    "status": StatusEvent,
    "stage": StageEvent,
    "output": OutputEvent,
    "progress": ProgressEvent,
}
"""Names of the events of one job's stream, and their data."""


class FeedReset(BaseModel):
    """Load your list of jobs now: everything that happens from now on follows."""

    reason: Literal["connected", "past_not_kept"] = Field(
        description="`connected`: the stream begins; `past_not_kept`: events after `Last-Event-ID` "
        "are lost"
    )


class _OfSomeJob(BaseModel):
    job_id: str = Field(examples=[EXAMPLE_ID])


class _WithSomeJob(_OfSomeJob):
    job: JobView | None = Field(description="The job now; null if it has been deleted since")


class FeedCreated(_WithSomeJob):
    """A job was created."""


class FeedStatus(_WithSomeJob):
    """The status of a job changed, or a worker claimed or returned it."""

    status: JobStatus
    stage: Stage


class FeedStage(_WithSomeJob):
    """A level of a job is finished and the next stage begins."""

    stage: Stage


class FeedOutput(_WithSomeJob):
    """An audio file of a job can be downloaded."""

    level: LevelName
    sample: int


class FeedChanged(_WithSomeJob):
    """Fields changed that are not part of what is generated, such as the title."""

    fields: list[str]


class FeedProgress(_OfSomeJob, ProgressEvent):
    """Progress of a job; without the whole job."""


class FeedDeleted(_OfSomeJob):
    """A job was deleted, or has expired."""


FEED_EVENTS: Mapping[str, type[BaseModel]] = {
    "reset": FeedReset,
    "created": FeedCreated,
    "status": FeedStatus,
    "stage": FeedStage,
    "output": FeedOutput,
    "progress": FeedProgress,
    "changed": FeedChanged,
    "deleted": FeedDeleted,
}
"""Names of the events of the stream of all jobs, and their data."""


def event_stream(payloads: Mapping[str, type[BaseModel]], example: str) -> dict[str, Any]:
    """The `content` of an event stream: a text, and event by event the type of its data.

    `itemSchema` is of OpenAPI 3.2; older readers take the stream for a text.
    """
    items = [_item(name, payload) for name, payload in payloads.items()]
    schema = {"type": "string", "description": "Server-sent events"}
    media = {"schema": schema, "itemSchema": {"oneOf": items}, "example": example}
    return {"content": {"text/event-stream": media}}


def _item(name: str, payload: type[BaseModel]) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{payload.__name__}"},
    }
    properties = {"event": {"const": name}, "id": {"type": "string"}, "data": data}
    return {"type": "object", "required": ["event", "data"], "properties": properties}


def payload_schemas() -> dict[str, Any]:
    """The schemas of the payloads, without those of what they are made of."""
    template = "#/components/schemas/{model}"
    models: list[type[BaseModel]] = [
        *(each for each in JOB_EVENTS.values() if each is not JobView),
        *FEED_EVENTS.values(),
        LevelTokens,
    ]
    schemas = {}
    for model in models:
        schemas[model.__name__] = model.model_json_schema(
            ref_template=template, mode="serialization"
        )
        schemas[model.__name__].pop("$defs", None)
    return schemas
