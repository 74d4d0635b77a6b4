"""Stages run in this process, one call at a time: what each leaves behind, and how it mends."""

import itertools
import shutil
import threading
import time
from datetime import UTC, datetime

import pytest

from jobs.files.artifacts import peaks_name
from jobs.queue import CeleryJobQueue
from jobs.record.job import JobStatus, Stage
from jukebox_core.tiny import write_tiny
from tests.worker.jobs_and_processes import assert_codes, replaced, run_stage, sing_alone
from worker.app import build_parts
from worker.lease.held import HeldLeases
from worker.song.job_errors import to_job_error

pytestmark = pytest.mark.redis


def test_each_stage_hands_over_to_the_next(service, worker):
    job = service.admit(levels=("top", "middle"))
    stages = [Stage.TOP, Stage.MIDDLE, Stage.RENDER]
    for stage, following in itertools.pairwise(stages):
        run_stage(worker, job.id, stage)
        now = service.store.get(job.id, with_windows=True)
        assert (now.status, now.stage) == (JobStatus.RUNNING, following)
        assert now.lease_expires_at is None
        assert service.queue.depth(following) == 1
        # Steps of the model of costs: to begin a window is worth some of them.
        assert service.store.rates("tiny")[stage] >= now.metrics[stage].tokens_per_second > 0
        assert now.progress[stage].tokens_done == job.plan[stage].tokens_total
    run_stage(worker, job.id, Stage.RENDER)
    assert service.store.get(job.id).status is JobStatus.SUCCEEDED
    assert service.queue.depth(Stage.BOTTOM) == 0


def test_a_message_for_another_stage_does_nothing(service, worker):
    job = service.admit()
    run_stage(worker, job.id, Stage.BOTTOM)
    run_stage(worker, "job_" + "0" * 32, Stage.TOP)
    assert service.store.get(job.id) == job


def test_the_end_mends_lost_sound_and_throws_away_what_nobody_names(service, worker, models_dir):
    job = service.admit(levels=("top",), num_samples=2)
    run_stage(worker, job.id, Stage.TOP)
    drawn = service.store.get(job.id, with_windows=True)
    lost, kept = drawn.outputs
    service.artifacts.path(job.id, lost.name).write_bytes(b"RIFF")
    with service.artifacts.new_file(job.id, "left-by-a-zombie.wav") as path:
        path.write_bytes(b"noise")
    with service.artifacts.new_file(job.id, kept.name.replace("fence000001.wav", "x.flac")) as path:
        path.write_bytes(b"noise")
    run_stage(worker, job.id, Stage.RENDER)
    ended = service.store.get(job.id, with_windows=True)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    assert [o.sha256 for o in ended.outputs] == [
        service.artifacts.fingerprint(job.id, o.name)[0] for o in ended.outputs
    ]
    assert ended.outputs[1].sha256 == kept.sha256
    folder = service.artifacts.path(job.id, "manifest.json").parent
    left = {path.name for path in folder.iterdir()} - {file.name for file in ended.codes}
    assert left == {
        *(output.name for output in ended.outputs),
        *(peaks_name(output.name) for output in ended.outputs),
        "alignment-0.json",
        "alignment-1.json",
        "manifest.json",
        ended.codes_name,
    }


def test_lost_codes_of_the_level_above_are_drawn_again(service, worker, models_dir):
    job = service.admit(levels=("top", "middle"))
    run_stage(worker, job.id, Stage.TOP)
    (window,) = service.store.get(job.id, with_windows=True).codes
    service.artifacts.path(job.id, window.name).unlink()
    run_stage(worker, job.id, Stage.MIDDLE)
    now = service.store.get(job.id, with_windows=True)
    assert now.stage is Stage.RENDER
    assert now.codes_of("top")[0].sha256 == window.sha256
    assert_codes(service, now, sing_alone(models_dir, now))


def test_a_draining_worker_takes_nothing_and_sends_the_message_back(service, worker):
    job = service.admit()
    worker.draining.set()
    run_stage(worker, job.id, Stage.TOP)
    assert service.store.get(job.id) == job
    assert service.queue.depth(Stage.TOP) == 1


class DrainingAtLook(threading.Event):
    """Set when it has been asked so often: no clock decides when a stage is interrupted."""

    def __init__(self, looks):
        super().__init__()
        self._looks_left = looks

    def is_set(self):
        self._looks_left -= 1
        if self._looks_left <= 0:
            self.set()
        return super().is_set()


def test_a_stage_that_is_interrupted_at_any_moment_goes_on_where_it_stopped(
    service, worker, models_dir
):
    job = service.admit(levels=("top", "middle"), duration_seconds=2.0)
    for attempt in range(1, 20):
        now = service.store.get(job.id, with_windows=True)
        if now.is_terminal:
            break
        # The first is interrupted as soon as it has claimed; each comes further than the last.
        run_stage(replaced(worker, draining=DrainingAtLook(2**attempt)), job.id, now.stage)
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.status, ended.attempt) == (JobStatus.SUCCEEDED, 1), ended.error
    assert ended.fence > 3
    assert_codes(service, ended, sing_alone(models_dir, ended))


def test_cancel_is_heard_while_a_level_is_drawn(service, worker):
    """The next window waits until a heartbeat has heard it: no clock decides who is first."""
    job = service.admit(duration_seconds=30.0, levels=("top",), num_samples=2)
    heard, beat, record = threading.Event(), worker.store.heartbeat, worker.store.record_window

    def heartbeat(*arguments, **options):
        is_canceled = beat(*arguments, **options)
        if is_canceled:
            heard.set()
        return is_canceled

    def record_and_cancel(claim, file):
        record(claim, file)
        service.store.request_cancel(job.id)
        assert heard.wait(300)

    worker.store.heartbeat, worker.store.record_window = heartbeat, record_and_cancel
    run_stage(worker, job.id, Stage.TOP)
    now = service.store.get(job.id, with_windows=True)
    assert now.status is JobStatus.CANCELED
    assert 0 < len(now.codes_of("top")) < job.plan["top"].windows_total
    assert service.queue.depth(Stage.RENDER) == 0


def test_a_queue_that_is_away_leaves_the_next_stage_to_the_reaper(service, worker, tmp_path):
    job = service.admit(levels=("top",))
    nowhere = CeleryJobQueue(f"unix://{tmp_path}/no.sock")
    run_stage(replaced(worker, store=service.store, queue=nowhere), job.id, Stage.TOP)
    assert service.store.get(job.id).stage is Stage.RENDER
    time.sleep(2.1)  # the store of these tests counts messages as lost after 2 s
    assert [due.stage for due in service.store.due()] == [Stage.RENDER]


def test_faults_of_model_and_disk_end_the_job_with_their_reason(service, worker, tmp_path, caplog):
    write_tiny(tmp_path / "broken" / "tiny")
    (tmp_path / "broken" / "tiny" / "prior_top.safetensors").write_bytes(b"no weights")
    broken = replaced(worker, **_engine_for(service, tmp_path / "broken", worker))
    broken.engine.start()
    gone = service.admit()
    run_stage(broken, gone.id, Stage.TOP)
    assert service.store.get(gone.id).error.code == "broken_model"
    shutil.rmtree(tmp_path / "broken" / "tiny")
    gone = service.admit()
    run_stage(broken, gone.id, Stage.TOP)
    assert service.store.get(gone.id).error.code == "model_not_found"
    broken.engine.stop()

    full = service.admit()
    (service.data_dir / "artifacts").mkdir(exist_ok=True)
    (service.data_dir / "artifacts" / full.id).write_text("in the way of the folder")
    run_stage(worker, full.id, Stage.TOP)
    error = service.store.get(full.id).error
    assert (error.code, error.retryable) == ("storage_failed", True)
    assert str(tmp_path) not in error.message


def _engine_for(service, models_dir, worker):
    parts = build_parts(worker.settings.model_copy(update={"models_dir": models_dir}))
    return {"catalog": parts.catalog, "engine": parts.engine}


def test_what_was_not_foreseen_is_told_in_the_log_only(service, worker, monkeypatch, caplog):
    def fall_over(*_):
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr("worker.tasks.write_sound", fall_over)
    job = service.admit()
    run_stage(worker, job.id, Stage.TOP)
    error = service.store.get(job.id).error
    assert error.code == "internal_error"
    assert "secret" not in error.message
    (record,) = [r for r in caplog.records if r.message == "stage failed"]
    assert record.job_id == job.id
    assert "a secret of the house" in caplog.text


def test_a_full_device_is_told_as_such():
    import torch

    full = (
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    unmapped = "unable to mmap 9 bytes from file <x.safetensors>: Cannot allocate memory (12)"
    for error in (
        *(MemoryError(), torch.OutOfMemoryError("CUDA out of memory")),
        *(RuntimeError(full), RuntimeError(unmapped)),
    ):
        assert to_job_error(error).code == "out_of_memory"
        assert to_job_error(error).retryable


def test_a_worker_that_lost_its_lease_writes_nothing_more(service, worker, models_dir):
    """It misses its heartbeats, another takes the job over and ends it; then it wakes up."""
    job = service.admit(levels=("top",), duration_seconds=8.0, num_samples=2)
    taken, record = threading.Event(), worker.store.record_window

    def record_and_sleep(claim, file):
        record(claim, file)
        if claim.fence == 1:
            assert taken.wait(300)

    worker.store.record_window = record_and_sleep
    sleepy = worker.settings.model_copy(update={"lease_sec": 0.1, "heartbeat_sec": 30.0})
    zombie = threading.Thread(
        target=run_stage,
        args=(replaced(worker, settings=sleepy, held=HeldLeases()), job.id, Stage.TOP),
    )
    zombie.start()
    service.wait(job.id, lambda job: job.codes and job.lease_expires_at < datetime.now(UTC))
    run_stage(worker, job.id, Stage.TOP)
    taken_over = service.store.get(job.id, with_windows=True)
    taken.set()
    zombie.join(60)
    assert not zombie.is_alive()
    assert service.store.get(job.id) == taken_over
    assert (taken_over.attempt, taken_over.stage) == (2, Stage.RENDER)
    fences = [file.name.partition("fence")[2][:6] for file in taken_over.codes]
    assert set(fences) == {"000001", "000002"}
    assert fences == sorted(fences)
    assert_codes(service, taken_over, sing_alone(models_dir, taken_over))
