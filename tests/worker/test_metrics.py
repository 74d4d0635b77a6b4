"""What a worker tells Prometheus is what it did."""

import socket
import urllib.request

import pytest
import torch

from cli.local.stack import free_port
from jobs.record.job import JobStatus, Stage
from jobs.settings import InvalidSettings
from tests.worker.jobs_and_processes import replaced, run_stage
from worker.metrics import SongPart, WorkerMetrics, metrics_page

pytestmark = pytest.mark.redis


@pytest.fixture
def metrics():
    return WorkerMetrics("cpu", torch.device("cpu"))


def figure(worker, name, **labels):
    return worker.metrics.registry.get_sample_value(name, labels)


def test_a_song_is_counted_from_its_first_stage_to_its_end(service, worker):
    job = service.admit(levels=("top",), num_samples=2)
    run_stage(worker, job.id, Stage.TOP)
    assert figure(worker, "jukebox_job_attempts_total", reason="first") == 1
    assert figure(worker, "jukebox_queue_wait_seconds_count") == 1
    drawn = 2 * job.plan["top"].tokens_total
    assert figure(worker, "jukebox_tokens_total", level="top") == drawn
    speed = figure(worker, "jukebox_tokens_per_second", level="top", gpu="cpu")
    assert speed == service.store.get(job.id).metrics["top"].tokens_per_second
    factor = figure(worker, "jukebox_realtime_factor", level="top")
    assert factor == pytest.approx(speed * job.duration_sec / job.plan["top"].heard_tokens)

    run_stage(worker, job.id, Stage.RENDER)
    assert figure(worker, "jukebox_jobs_total", outcome="succeeded", code="") == 1
    for stage in ("top", "render"):
        assert figure(worker, "jukebox_job_duration_seconds_count", level=stage) == 1
    assert figure(worker, "jukebox_queue_wait_seconds_count") == 1
    assert figure(worker, "jukebox_stages_in_hand") == 0


def test_what_a_song_waited_for_is_counted_part_by_part(service, worker):
    job = service.admit(levels=("top", "middle"), lyrics="hello hello")
    for stage in (Stage.TOP, Stage.MIDDLE, Stage.RENDER):
        run_stage(worker, job.id, stage)
    ended = service.store.get(job.id, with_windows=True)
    assert ended.status is JobStatus.SUCCEEDED
    spent = {
        part: figure(worker, "jukebox_song_part_seconds_total", part=part.value)
        for part in SongPart
    }
    assert all(spent.values()), spent
    # Parts follow each other: together they are what the stages took, or less.
    stages = sum(
        figure(worker, "jukebox_job_duration_seconds_sum", level=stage)
        for stage in ("top", "middle", "render")
    )
    within = (SongPart.LOADING, SongPart.PROMPT)
    assert sum(seconds for part, seconds in spent.items() if part not in within) <= stages


def test_a_failure_is_counted_with_its_code(service, worker):
    job = service.admit(levels=("top",))
    broken = replaced(worker, catalog=type(worker.catalog)(service.data_dir / "none"))
    run_stage(broken, job.id, Stage.TOP)
    failed = service.store.get(job.id, with_windows=True)
    assert failed.status is JobStatus.FAILED
    assert figure(broken, "jukebox_jobs_total", outcome="failed", code=failed.error.code) == 1
    assert figure(broken, "jukebox_job_duration_seconds_count", level="top") is None
    assert figure(broken, "jukebox_stages_in_hand") == 0


def test_messages_without_work_are_no_figures(service, worker):
    run_stage(worker, "job_" + "0" * 32, Stage.TOP)
    assert figure(worker, "jukebox_job_attempts_total", reason="first") is None


def test_the_page_is_there_while_the_worker_runs(metrics):
    port = free_port()
    metrics.end_job("succeeded")
    with metrics_page(metrics, "127.0.0.1", port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            text = page.read().decode()
        assert 'jukebox_jobs_total{code="",outcome="succeeded"} 1.0' in text
        assert "process_resident_memory_bytes" in text
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_told_as_such(metrics):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(InvalidSettings, match=f"JUKEBOX_METRICS_PORT={port}"),
            metrics_page(metrics, "127.0.0.1", port),
        ):
            pass


def test_no_port_is_no_page(metrics):
    with metrics_page(metrics, "127.0.0.1", 0):
        pass
