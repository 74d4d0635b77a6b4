"""Where job records live: every change is one atomic step inside Redis or Valkey."""

from jobs.store.job_store import JobStore
from jobs.store.types import (
    Claim,
    DueJob,
    FeedEvent,
    FeedPage,
    JobEvent,
    JobPage,
    ModelInMemory,
    WorkerInfo,
)
from jobs.store.watcher import JobWatcher, event_order

__all__ = [
    "Claim",
    "DueJob",
    "FeedEvent",
    "FeedPage",
    "JobEvent",
    "JobPage",
    "JobStore",
    "JobWatcher",
    "ModelInMemory",
    "WorkerInfo",
    "event_order",
]
