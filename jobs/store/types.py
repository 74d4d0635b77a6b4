"""What the store gives: claims, pages, events, due jobs, workers."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.model_figures import ModelSpeed
from jobs.record.job import (
    Job,
    JobStatus,
    Stage,
)


def worker_name(pid: int) -> str:
    """Machine and process: tells two workers of one machine apart."""
    return f"{socket.gethostname()}:{pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write a job, until the lease ends or somebody claims it after that.

    `fence` is sent with every write; the store refuses writes with an older one.
    """

    job: Job
    fence: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some records, in order. `next_cursor` is None on the last page.

    `total` is how many jobs pass the filters; None when counting them would be too much work.
    """

    jobs: tuple[Job, ...]
    next_cursor: str | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job; `id` orders events of one job.

    `kind` is `status`, `progress`, `output`, `stage` or `changed`.
    """

    id: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent(JobEvent):
    """Something that happened to some job; `id` orders the events of all.

    `kind` may also be `created` and `deleted`. `owner` is None where no API key was needed.
    """

    job_id: str
    owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Events of the feed in order, and whether there may be more after them.

    `position` is where the next page begins. `is_whole` is False when events between the position
    asked for and the first of these are not kept any more; then there are none here.
    """

    events: tuple[FeedEvent, ...]
    position: str
    has_more: bool
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job that nobody holds although something should happen to it.

    `is_abandoned`: its worker died, so no message waits for it unless it was sent again since.
    `num_looks` is how often it was postponed since it was last held or queued.
    """

    job_id: str
    stage: Stage
    status: JobStatus
    is_abandoned: bool
    num_looks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInMemory:
    """A model that a worker holds, and since when nothing was generated with it.

    `idle_since` is None while something is.
    """

    name: str
    memory_bytes: int
    idle_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker that has been heard of lately.

    `model_memory` are the bytes that a model takes there at most; `too_large` says why one does not
    fit; `model_setups` how each is computed, in words. All leave out models that cannot be read.
    `model_seconds` are seconds for one second of music, `exact` and in parallel, where measured;
    `model_speeds` what forecasts are made from. It works on up to `num_jobs` at the same time.
    """

    name: str
    device: str
    models: tuple[str, ...]
    stages: tuple[Stage, ...]
    seen_at: datetime
    model_memory: Mapping[str, int] = field(default_factory=dict)
    too_large: Mapping[str, str] = field(default_factory=dict)
    loaded_models: tuple[ModelInMemory, ...] = ()
    model_setups: Mapping[str, str] = field(default_factory=dict)
    model_seconds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    model_speeds: Mapping[str, ModelSpeed] = field(default_factory=dict)
    num_jobs: int = 1
