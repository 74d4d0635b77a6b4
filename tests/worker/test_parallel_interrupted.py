"""Songs drawn in segments side by side whose workers die, stop, or find damage: the same songs."""

import pytest

from jobs.record.job import JobStatus, Stage
from tests.worker.jobs_and_processes import (
    WorkerProcess,
    assert_song,
    freezing,
    run_stage,
    running_worker,
    sing_alone,
)

pytestmark = pytest.mark.redis


def test_side_by_side_in_few_rows_is_the_same_song(service, models_dir):
    with running_worker(service, JUKEBOX_MAX_ROWS="3"):
        job = service.wait_end(service.post(speed="parallel", duration_seconds=3.0))
    assert_song(service, job, sing_alone(models_dir, job))


def test_a_worker_that_dies_leaves_windows_that_the_next_goes_on_from(
    service, models_dir, tmp_path
):
    job_id = service.post(speed="parallel", duration_seconds=8.0, levels=("top", "middle"))
    first = WorkerProcess(service, tmp_path / "first.log", **freezing("middle-0", after=3))
    try:
        first.wait_frozen()
    finally:
        first.kill()
    service.end_lease(job_id)
    kept = {file.name for file in service.store.get(job_id, with_windows=True).codes_of("middle")}
    with running_worker(service):
        job = service.wait_end(job_id)
    assert job.attempt == 2
    assert kept <= {file.name for file in job.codes_of("middle")}
    assert_song(service, job, sing_alone(models_dir, job))


@pytest.mark.parametrize("damaged", [0, 1, -1])
def test_a_damaged_window_is_drawn_again_with_the_rest_of_its_segment(
    service, worker, models_dir, damaged
):
    job = service.admit(speed="parallel", duration_seconds=4.0, levels=("top", "middle"))
    for stage in (Stage.TOP, Stage.MIDDLE):
        run_stage(worker, job.id, stage)
    windows = service.store.get(job.id, with_windows=True).codes_of("middle")
    path = service.artifacts.path(job.id, windows[damaged].name)
    path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\x00")
    for output in service.store.get(job.id).outputs:
        service.artifacts.path(job.id, output.name).unlink()
    run_stage(worker, job.id, Stage.RENDER)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))
    fences = {file.start: file.name.partition("fence")[2] for file in ended.codes_of("middle")}
    assert fences[windows[damaged].start] == "000003.safetensors"
    assert "000002.safetensors" in fences.values()


def test_a_stopped_worker_gives_a_parallel_song_back_with_what_is_kept(service, worker):
    job = service.admit(speed="parallel", duration_seconds=20.0, levels=("top", "middle"))
    run_stage(worker, job.id, Stage.TOP)
    real = worker.store.record_window

    def drain(claim, file):
        real(claim, file)
        worker.draining.set()

    worker.store.record_window = drain
    run_stage(worker, job.id, Stage.MIDDLE)
    now = service.store.get(job.id, with_windows=True)
    assert (now.status, now.lease_expires_at) == (JobStatus.RUNNING, None)
    assert 0 < len(now.codes_of("middle")) < job.plan["middle"].windows_total
