"""What Prometheus reads from an API process: its own answers, and the service as the store sees it.

Every API process tells the same of jobs and workers, so take the largest of them and not the sum.
The registry belongs to one application; nothing is counted across processes.
"""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fastapi.routing import iter_route_contexts
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.queue import JobQueue
from jobs.record.job import ENDINGS, Stage
from jobs.store import JobStore, WorkerInfo

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD, _NO_ROUTE = "other", "none"
_SERVER_ERRORS = (500, 503, 507)
"""Statuses from 500 on that this service answers with."""
_RESPONSE_BUCKETS_SEC = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


class ApiMetrics:
    """The figures of one application; `text` is the page that Prometheus reads."""

    def __init__(self, store: JobStore, queue: JobQueue, data_dir: Path) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(ServiceCollector(store, queue, data_dir))
        self.requests = Counter(
            "jukebox_http_requests",
            "Requests answered, by route",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.jobs = Counter(
            "jukebox_jobs",
            "Jobs that this process brought to an end; the code is that of a failure",
            ["outcome", "code"],
            registry=self.registry,
        )
        for labels in ENDINGS:
            self.jobs.labels(*labels)
        self.response_sec = Histogram(
            "jukebox_http_response_seconds",
            "From a request to the beginning of its answer",
            ["method", "route"],
            buckets=_RESPONSE_BUCKETS_SEC,
            registry=self.registry,
        )
        self.open_responses = Gauge(
            "jukebox_http_open_responses",
            "Answers that have begun and not ended: downloads, and streams of events",
            ["route"],
            registry=self.registry,
        )

    def expect_requests(self, routes: Sequence[BaseRoute]) -> None:
        """Create the counters of server errors at 0 for these routes and for requests without one.

        `increase()` of Prometheus ignores the value with which a series appears, so the first
        error of a route would never be noticed.
        """
        for route in iter_route_contexts(routes):
            methods = set(route.methods or ())
            # HEAD works wherever GET does (`api/web/routing.py`).
            for method in methods | ({"HEAD"} if "GET" in methods else set()):
                self._expect_server_errors(method, str(route.path))
        for method in (*_METHODS, _OTHER_METHOD):
            self._expect_server_errors(method, _NO_ROUTE)

    def _expect_server_errors(self, method: str, route: str) -> None:
        for status in _SERVER_ERRORS:
            self.requests.labels(method, route, status)

    def end_job(self, outcome: str, code: str) -> None:
        """Count a job that the sweeper of this process ended, at its deadline."""
        self.jobs.labels(str(outcome), code).inc()

    def text(self) -> bytes:
        """All figures now, in the text format 0.0.4. Blocking: it asks the store."""
        return generate_latest(self.registry)


class CountRequests:
    """Counts every request and its answer, whoever gives it; the outermost middleware."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route: str | None = None

        async def noting_send(message: Message) -> None:
            nonlocal route
            if message["type"] == "http.response.start" and route is None:
                route = _route_of(scope)
                self._begin(scope, route, message["status"], time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        finally:
            if route is not None:
                self._metrics.open_responses.labels(route).dec()

    def _begin(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.response_sec.labels(method, route).observe(seconds)
        self._metrics.open_responses.labels(route).inc()


def _route_of(scope: Scope) -> str:
    """The template of the path, since paths of strangers would be figures without end."""
    return str(getattr(scope.get("route"), "path", _NO_ROUTE))


class ServiceCollector(Collector):
    """Asks store, queue and disk whenever the page is read; keeps nothing.

    What cannot be asked is left out, and `jukebox_store_up` is 0 while the store does not answer.
    """

    def __init__(self, store: JobStore, queue: JobQueue, data_dir: Path) -> None:
        self._store, self._queue, self._data_dir = store, queue, data_dir

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the registry must not ask the store before anybody else does."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        yield from self._disk()
        up = GaugeMetricFamily("jukebox_store_up", "1 while the job store answers")
        try:
            families: list[Metric] = [*self._jobs(), *self._messages(), *self._webhooks()]
            families += _workers(self._store.workers())
        except (StoreUnavailable, QueueUnavailable):
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from families

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        try:
            usage = shutil.disk_usage(self._data_dir)
        except OSError:
            return
        yield _single("jukebox_disk_free_bytes", "Free where codes and sound are kept", usage.free)
        yield _single("jukebox_disk_bytes", "Size of that disk", usage.total)

    def _jobs(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("jukebox_jobs", "Jobs of each status", labels=["state"])
        for status, number in self._store.counts().items():
            jobs.add_metric((status.value,), number)
        yield jobs
        oldest = self._store.oldest_queued()
        waited_sec = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
        yield _single(
            "jukebox_oldest_queued_seconds",
            "How long the first of the queue has waited; 0 without a queue",
            max(waited_sec, 0.0),
        )

    def _messages(self) -> Iterator[GaugeMetricFamily]:
        messages = GaugeMetricFamily(
            "jukebox_queue_messages", "Stages that no worker has taken yet", labels=["stage"]
        )
        for stage in Stage:
            messages.add_metric((stage.value,), self._queue.depth(stage))
        yield messages

    def _webhooks(self) -> Iterator[Metric]:
        figures = self._store.webhook_figures()
        yield _single(
            "jukebox_webhooks_pending", "Webhooks neither delivered nor given up", figures.pending
        )
        attempts = CounterMetricFamily(
            "jukebox_webhook_deliveries", "Attempts to send a webhook", labels=["outcome"]
        )
        for outcome, number in figures.attempts.items():
            attempts.add_metric((outcome.value,), number)
        yield attempts


def _workers(workers: list[WorkerInfo]) -> Iterator[GaugeMetricFamily]:
    serving = GaugeMetricFamily(
        "jukebox_workers", "Workers heard of lately that serve a stage", labels=["stage"]
    )
    age = GaugeMetricFamily(
        "jukebox_worker_heartbeat_age_seconds",
        "Since a worker's last sign of life; one that is gone is not told of any more",
        labels=["worker"],
    )
    for stage in Stage:
        serving.add_metric((stage.value,), sum(stage in worker.stages for worker in workers))
    now = datetime.now(UTC)
    for worker in workers:
        age.add_metric((worker.name,), max((now - worker.seen_at).total_seconds(), 0.0))
    yield serving
    yield age


def _single(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation)
    family.add_metric((), value)
    return family
