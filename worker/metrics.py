"""What Prometheus reads from a worker process, on a port of its own.

One process has one registry; its stages are threads, so nothing is counted across processes. What
the store knows already (how many jobs wait, who lives) the API tells.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.record.job import ENDINGS, Job, Stage, stages_of
from jobs.record.request import LEVEL_NAMES
from jobs.setting_groups import InvalidSettings
from jobs.store import Claim

log = logging.getLogger(__name__)

_MINUTE_SEC, _HOUR_SEC = 60.0, 3600.0
_STAGE_BUCKETS_SEC = (
    *(1.0, 2.5, 5.0, 10.0, 30.0),
    *(minutes * _MINUTE_SEC for minutes in (1, 2.5, 5, 10, 30)),
    *(hours * _HOUR_SEC for hours in (1, 2, 4)),
)
_WAIT_BUCKETS_SEC = (0.1, 0.5, *_STAGE_BUCKETS_SEC)


class SongPart(StrEnum):
    """What a claimed song waits for, one after the other; the first two are within the third."""

    LOADING = "loading"  # of a prior from its file
    PROMPT = "prompt"  # what the song begins with, made codes
    DRAWING = "drawing"  # until the last code of the level that is due
    FILES = "files"  # of all codes and of the sound
    SOUND = "sound"  # what of it was not made while the level was drawn
    LYRIC_TIMES = "lyric_times"
    KEEPING = "keeping"  # of the last windows
    HANDING_OVER = "handing_over"  # to the next stage
    RENDERING = "rendering"  # the last stage


class WorkerMetrics:
    """The figures of one worker; tasks tell it what they did. Made for threads.

    Counters exist at 0 for every known value of their labels: `increase()` of Prometheus ignores
    the value with which a series appears, so a first failure would never be noticed.
    """

    def __init__(self, device_name: str, device: torch.device) -> None:
        self.registry = CollectorRegistry()
        self._device_name = device_name
        ProcessCollector(registry=self.registry)
        if device.type == "cuda":
            self.registry.register(GpuMemoryCollector(device))
        self._make_counters()
        self._make_speeds()

    def _make_counters(self) -> None:
        registry = self.registry
        self.jobs = Counter(
            "jukebox_jobs",
            "Jobs that this worker brought to an end; the code is that of a failure",
            ["outcome", "code"],
            registry=registry,
        )
        self.attempts = Counter(
            "jukebox_job_attempts",
            "Stages begun: `again` when a worker died with the job before",
            ["reason"],
            registry=registry,
        )
        self.tokens = Counter(
            "jukebox_tokens",
            "Tokens drawn and kept, of all samples together",
            ["level"],
            registry=registry,
        )
        self.in_hand = Gauge(
            "jukebox_stages_in_hand", "Stages that this worker is busy with", registry=registry
        )
        for labels in ENDINGS:
            self.jobs.labels(*labels)
        for reason in ("first", "again"):
            self.attempts.labels(reason)
        for level in LEVEL_NAMES:
            self.tokens.labels(level)

    def _make_speeds(self) -> None:
        registry = self.registry
        self.queue_wait_sec = Histogram(
            "jukebox_queue_wait_seconds",
            "From the post of a job to the beginning of its first stage",
            buckets=_WAIT_BUCKETS_SEC,
            registry=registry,
        )
        self.stage_sec = Histogram(
            "jukebox_job_duration_seconds",
            "A stage of a job from the claim, or the end of the one before, to its end, with sound",
            ["level"],
            buckets=_STAGE_BUCKETS_SEC,
            registry=registry,
        )
        self.part_sec = Counter(
            "jukebox_song_part_seconds",
            "What songs waited for once they were claimed, part by part",
            ["part"],
            registry=registry,
        )
        for stage in Stage:
            self.stage_sec.labels(stage.value)
        for part in SongPart:
            self.part_sec.labels(part.value)
        self.tokens_per_sec = Gauge(
            "jukebox_tokens_per_second",
            "Of one song, all its samples together, when a level was last finished",
            ["level", "gpu"],
            registry=registry,
        )
        self.realtime_factor = Gauge(
            "jukebox_realtime_factor",
            "Seconds of music for each second of drawing, when a level was last finished",
            ["level"],
            registry=registry,
        )

    @contextmanager
    def part(self, part: SongPart) -> Iterator[None]:
        """Count the seconds of the block as those of a part of a song."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.spend(part, time.monotonic() - started)

    def spend(self, part: SongPart, seconds: float) -> None:
        """A part of a song took so long."""
        self.part_sec.labels(part.value).inc(seconds)

    def begin_stage(self, claim: Claim) -> None:
        """A job was claimed, or its holder goes on with the next stage."""
        job = claim.job
        self.in_hand.inc()
        self.attempts.labels("again" if job.attempt > 1 else "first").inc()
        if _is_new(job) and job.started_at is not None:
            waited_sec = (job.started_at - job.created_at).total_seconds()
            self.queue_wait_sec.observe(max(waited_sec, 0.0))

    def leave_stage(self) -> None:
        """Whatever became of it."""
        self.in_hand.dec()

    def end_stage(self, stage: Stage, seconds: float) -> None:
        """A stage was done to its end."""
        self.stage_sec.labels(stage.value).observe(seconds)

    def end_job(self, outcome: str, code: str = "") -> None:
        """A job ended in this worker: `succeeded`, `failed` with the code, or `canceled`."""
        self.jobs.labels(str(outcome), code).inc()

    def keep_tokens(self, level: str, num_tokens: int) -> None:
        """A window is on disk."""
        self.tokens.labels(level).inc(num_tokens)

    def finish_level(self, job: Job, level: str, tokens_per_second: float) -> None:
        """All of a level is drawn; nothing is told of one that was there already."""
        if tokens_per_second <= 0.0:
            return
        tokens_per_music_sec = job.plan[level].output_tokens / job.duration_sec
        self.tokens_per_sec.labels(level, self._device_name).set(tokens_per_second)
        self.realtime_factor.labels(level).set(tokens_per_second / tokens_per_music_sec)


def _is_new(job: Job) -> bool:
    return job.fence == 1 and job.stage is stages_of(job.request)[0]


class GpuMemoryCollector(Collector):
    """Bytes of the device: in use by tensors, held by the allocator, and there at all."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing, so that registering it does not wake the device."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family."""
        memory = GaugeMetricFamily(
            "jukebox_gpu_memory_bytes", "Memory of this worker's GPU", labels=["kind"]
        )
        free, total = torch.cuda.mem_get_info(self._device)
        memory.add_metric(("allocated",), torch.cuda.memory_allocated(self._device))
        memory.add_metric(("reserved",), torch.cuda.memory_reserved(self._device))
        memory.add_metric(("free",), free)
        memory.add_metric(("total",), total)
        yield memory


@contextmanager
def metrics_page(metrics: WorkerMetrics, host: str, port: int) -> Iterator[None]:
    """Serve the figures at http://host:port/metrics for as long as the block runs; 0: nowhere.

    Raises:
        InvalidSettings: nothing can be served at this address.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        wrong = f"JUKEBOX_METRICS_HOST={host}, JUKEBOX_METRICS_PORT={port}: {error.strerror}"
        raise InvalidSettings(f"The worker cannot start. {wrong}") from error
    log.info("metrics at http://%s:%d/metrics", host, port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
