"""What a worker tells Prometheus is what it did."""

import re
import socket
import urllib.request
from pathlib import Path

import pytest
import torch

from cli.local.stack import free_port
from jobs.errors import LeaseLost
from jobs.record.job import FailureCode, JobStatus, Stage
from jobs.setting_groups import InvalidSettings
from tests.worker.jobs_and_processes import replaced, run_stage
from worker.metrics import SongPart, WorkerMetrics, metrics_page

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[2]


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
    assert factor == pytest.approx(speed * job.duration_sec / job.plan["top"].output_tokens)

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
    assert figure(broken, "jukebox_job_duration_seconds_count", level="top") == 0
    assert figure(broken, "jukebox_stages_in_hand") == 0


def test_a_job_that_a_claim_ends_is_counted(clock, service, worker):
    crashed = service.admit(levels=("top",))
    for _ in range(worker.settings.max_attempts):
        worker.store.claim(crashed.id, Stage.TOP, worker="dead", lease_sec=1.0)
        clock.pass_time(2)
    late = service.admit(levels=("top",), timeout_seconds=10)
    clock.pass_time(11)
    for job in (crashed, late):
        for _ in range(2):
            run_stage(worker, job.id, Stage.TOP)
        code = service.store.get(job.id).error.code
        assert figure(worker, "jukebox_jobs_total", outcome="failed", code=code) == 1, code
    assert figure(worker, "jukebox_jobs_total", outcome="failed", code="too_many_crashes") == 1
    assert figure(worker, "jukebox_jobs_total", outcome="failed", code="deadline_exceeded") == 1


def test_a_job_that_a_heartbeat_ends_is_counted(clock, service, worker):
    job = service.admit(levels=("top",), timeout_seconds=10)
    claim = worker.store.claim(job.id, Stage.TOP, worker="me", lease_sec=60.0)
    clock.pass_time(11)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            worker.store.heartbeat(claim, {}, 0.0, lease_sec=60.0)
    assert figure(worker, "jukebox_jobs_total", outcome="failed", code="deadline_exceeded") == 1


def test_a_fresh_page_has_every_counter_at_0(metrics):
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) and sample.name.startswith("jukebox_")
    }
    expected = {("jukebox_jobs_total", "failed", code.value) for code in FailureCode}
    expected |= {("jukebox_jobs_total", outcome, "") for outcome in ("succeeded", "canceled")}
    expected |= {("jukebox_job_attempts_total", reason) for reason in ("first", "again")}
    expected |= {("jukebox_tokens_total", level) for level in ("top", "middle", "bottom")}
    expected |= {("jukebox_song_part_seconds_total", part.value) for part in SongPart}
    expected |= {("jukebox_job_duration_seconds_count", stage.value) for stage in Stage}
    assert values == dict.fromkeys(expected | {("jukebox_queue_wait_seconds_count",)}, 0.0)


def test_every_code_of_a_failure_is_documented_and_no_other():
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    table = page.partition("A job that was accepted and failed later")[2].partition("\n\n")[2]
    rows = [line.split("|")[1] for line in table.partition("\n\n")[0].splitlines()[2:]]
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row)} == set(FailureCode)


def test_messages_without_work_are_no_figures(service, worker):
    run_stage(worker, "job_" + "0" * 32, Stage.TOP)
    assert figure(worker, "jukebox_job_attempts_total", reason="first") == 0


def test_the_page_is_there_while_the_worker_runs(metrics):
    port = free_port()
    metrics.end_job("succeeded")
    with metrics_page(metrics, "127.0.0.1", port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
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
