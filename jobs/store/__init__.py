"""Where job records live: every change is one atomic step inside Redis or Valkey."""

from jobs.store.job_store import JobStore
from jobs.store.types import Claim, DueJob, JobEvent, JobPage, WorkerInfo
from jobs.store.watcher import JobWatcher

__all__ = ["Claim", "DueJob", "JobEvent", "JobPage", "JobStore", "JobWatcher", "WorkerInfo"]
