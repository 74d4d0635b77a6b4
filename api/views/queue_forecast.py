"""How long waiting jobs will take, and how long they wait: from what workers tell of themselves."""

import heapq
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.forecast import song_costs
from jobs.model_figures import ModelSpeed
from jobs.record.job import Job, JobStatus, Stage
from jobs.record.songs import plan_job
from jobs.store import JobStore, WorkerInfo
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import ModelCatalog

FRESH_SEC = 2.0
"""What is known of the queue serves all requests for so long."""
MAX_JOBS = 64
"""So many running jobs, and as many waiting ones, are looked at; more are taken to be like them."""


@dataclass(slots=True)
class _Queue:
    """The workers, and when the waiting jobs begin, seconds from `at` on."""

    at: float
    speeds: Mapping[str, ModelSpeed]
    rates: dict[str, Mapping[Stage, float]] = field(default_factory=dict)
    starts: tuple[float, ...] = ()


class QueueForecast:
    """One for all requests of a process, which ask from several threads.

    A model of which no worker has told its speed is left to `views.eta_sec`.
    """

    def __init__(
        self, store: JobStore, catalog: ModelCatalog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._catalog, self._clock = store, catalog, clock
        self._lock = threading.Lock()
        self._queue: _Queue | None = None

    def eta_sec(self, job: Job, position: int | None) -> float | None:
        """Seconds until a job ends that waits with so many before it, or has just begun.

        None where nobody can tell by the workers. Raises StoreUnavailable.
        """
        with self._lock:
            queue = self._known()
            own_sec = self._own_sec(job, queue)
            if own_sec is None or position is None:
                return own_sec
            return (
                max(_start_of(position, queue.starts) - (self._clock() - queue.at), 0.0) + own_sec
            )

    def _known(self) -> _Queue:
        if self._queue is None or self._clock() - self._queue.at >= FRESH_SEC:
            workers = self._store.workers()
            queue = _Queue(at=self._clock(), speeds=_speeds_of(workers))
            if queue.speeds:
                queue.starts = self._starts(queue, sum(each.num_jobs for each in workers))
            self._queue = queue
        return self._queue

    def _starts(self, queue: _Queue, num_places: int) -> tuple[float, ...]:
        """When each of the waiting jobs begins if all places of the workers take the next one."""
        running = self._store.list_jobs(status=JobStatus.RUNNING, limit=MAX_JOBS).jobs
        waiting = self._store.list_jobs(
            status=JobStatus.QUEUED, order="created_at", limit=MAX_JOBS
        ).jobs
        places = [self._own_sec(job, queue) or 0.0 for job in running[: max(num_places, 1)]]
        places += [0.0] * (max(num_places, 1) - len(places))
        heapq.heapify(places)
        starts = []
        for job in waiting:
            starts.append(places[0])
            heapq.heapreplace(places, places[0] + (self._own_sec(job, queue) or 0.0))
        return (*starts, places[0])

    def _own_sec(self, job: Job, queue: _Queue) -> float | None:
        """Of the job itself: what its worker said last, else what all of it takes."""
        if job.seconds_left is not None:
            return job.seconds_left
        model = job.request.model
        speed = queue.speeds.get(model)
        if speed is None:
            return None
        if model not in queue.rates:
            queue.rates[model] = self._store.rates(model)
        try:
            planned = plan_job(job, self._catalog.get(model).config)
        except JukeboxError:  # its worker will say what is wrong with it
            return None
        return song_costs(planned, job, queue.rates[model], speed).total_sec


def _speeds_of(workers: "list[WorkerInfo]") -> dict[str, ModelSpeed]:
    """Of each model, as told by a worker that has measured it, else by any."""
    speeds: dict[str, ModelSpeed] = {}
    for worker in workers:
        for name, speed in worker.model_speeds.items():
            if name not in speeds or (speed.steps and not speeds[name].steps):
                speeds[name] = speed
    return speeds


def _start_of(position: int, starts: tuple[float, ...]) -> float:
    """Behind those that were looked at, the queue is taken to go on as it began."""
    if position < len(starts):
        return starts[position]
    return starts[-1] * position / max(len(starts) - 1, 1) if starts else 0.0
