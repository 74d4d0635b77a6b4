"""The payloads of event streams, and how the OpenAPI document describes a stream of them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from api.views.schemas import JobView
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
        LevelTokens,
    ]
    schemas = {}
    for model in models:
        schemas[model.__name__] = model.model_json_schema(
            ref_template=template, mode="serialization"
        )
        schemas[model.__name__].pop("$defs", None)
    return schemas
