"""Holding a job: the lease lives, wishes to stop are heard, nothing is lost while the store is."""

import threading
import time

import pytest

from jobs.errors import LeaseLost, StoreUnavailable
from jobs.record.job import JobStatus, LevelMetrics, LevelProgress, Stage
from jobs.store import JobStore
from jukebox_core.sampling.step_cost import SampledWork
from worker.device.engine_thread import EngineThread
from worker.device.models import ModelShelf
from worker.device.works import Pending
from worker.lease.lease import JobCanceled, Lease, WorkerDraining
from worker.lease.progress import StageProgress

pytestmark = pytest.mark.redis


def hold_of(store, claim, *, lease_sec=60.0, heartbeat_sec=0.05, draining=None):
    return Lease(
        store,
        claim,
        StageProgress(claim.job),
        lease_sec=lease_sec,
        heartbeat_sec=heartbeat_sec,
        draining=draining or threading.Event(),
    )


def idle_engine():
    return EngineThread(ModelShelf(lambda name: None, max_models=1), on_broken=lambda: None)


def claim_of(service, *, lease_sec=60.0):
    job = service.admit()
    claim = service.store.claim(job.id, Stage.TOP, worker="me", lease_sec=lease_sec)
    assert claim is not None
    return claim


def wait_for_interruption(lease, *, timeout_sec=60.0):
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        lease.check()
        time.sleep(0.01)


def test_the_lease_lives_as_long_as_the_job_is_held_and_progress_is_told(clock, service):
    """Twice two thirds of the lease pass, with heartbeats after each."""
    claim = claim_of(service, lease_sec=30.0)
    with hold_of(service.store, claim, lease_sec=30.0) as lease:
        lease.progress.set_kept("top", tokens=40, windows=1)
        for _ in range(2):
            ended_at = service.store.get(claim.job.id).lease_expires_at
            clock.pass_time(20.0)
            service.wait(claim.job.id, lambda job, before=ended_at: job.lease_expires_at > before)
        again = service.store.claim(claim.job.id, Stage.TOP, worker="you", lease_sec=1)
        assert again is None
        lease.check()
    told = service.store.get(claim.job.id).progress["top"]
    assert (told.tokens_done, told.windows_done) == (40, 1)


def test_a_wish_to_cancel_is_heard(service):
    claim = claim_of(service)
    with hold_of(service.store, claim) as lease:
        service.store.request_cancel(claim.job.id)
        with pytest.raises(JobCanceled):
            wait_for_interruption(lease)
    service.store.cancel(claim)
    assert service.store.get(claim.job.id).status is JobStatus.CANCELED


def test_progress_is_complete_when_the_next_stage_is_told(service):
    claim = claim_of(service, lease_sec=900.0)
    metrics = LevelMetrics(seconds=1.0, tokens_per_second=1.0)
    with hold_of(service.store, claim, lease_sec=900.0, heartbeat_sec=300.0) as lease:
        lease.progress.set_kept("top", tokens=40, windows=2)
        lease.go_on(
            lambda: service.store.go_on(
                claim, Stage.MIDDLE, metrics=metrics, codes_name="codes", lease_sec=900.0
            )
        )
        assert lease.claim.job.stage is Stage.MIDDLE
        told = lease.claim.job.progress["top"]
    assert (told.tokens_done, told.windows_done) == (40, 2)


def test_nobody_goes_on_with_a_song_that_is_to_be_canceled(service):
    claim = claim_of(service, lease_sec=900.0)
    changes = []
    with hold_of(service.store, claim, lease_sec=900.0, heartbeat_sec=300.0) as lease:
        service.store.request_cancel(claim.job.id)
        with pytest.raises(JobCanceled):
            lease.go_on(lambda: changes.append(claim))
    assert changes == []


def test_a_worker_that_lost_its_lease_stops(service):
    claim = claim_of(service, lease_sec=0.01)
    time.sleep(0.05)
    assert service.store.claim(claim.job.id, Stage.TOP, worker="you", lease_sec=99) is not None
    with hold_of(service.store, claim) as lease, pytest.raises(LeaseLost):
        wait_for_interruption(lease)


def test_draining_interrupts_waiting(service):
    draining = threading.Event()
    with hold_of(service.store, claim_of(service), draining=draining) as lease:
        threading.Timer(0.2, draining.set).start()
        with pytest.raises(WorkerDraining):
            lease.wait(idle_engine(), Pending("tiny"))


def test_a_write_is_repeated_until_the_store_is_back(service):
    refusals = iter([StoreUnavailable("away")] * 3)

    def change():
        for refusal in refusals:
            raise refusal
        return "written"

    with hold_of(service.store, claim_of(service)) as lease:
        assert lease.write(change) == "written"


def test_heartbeats_go_on_after_the_store_was_away(redis_server, models_dir, tmp_path):
    from tests.worker.jobs_and_processes import Service

    service = Service(redis_url=redis_server.url, data_dir=tmp_path, models_dir=models_dir)
    claim = claim_of(service, lease_sec=30)
    store = JobStore(redis_server.url)
    with hold_of(store, claim, lease_sec=30) as lease:
        redis_server.kill()
        time.sleep(0.4)
        lease.check()
        redis_server.start()
        lease.progress.set_kept("top", tokens=17, windows=0)
        job = service.wait(claim.job.id, lambda job: _tokens_done(job) == 17)
        assert job.status is JobStatus.RUNNING


def _tokens_done(job):
    return job.progress["top"].tokens_done if "top" in job.progress else 0


def test_progress_weighs_levels_by_their_tokens_and_leaves_a_little_for_the_end(service):
    job = service.admit()
    progress = StageProgress(job)
    assert progress.snapshot().value == 0.0
    total = sum(plan.tokens_total for plan in job.plan.values())
    progress.set_kept("top", tokens=job.plan["top"].tokens_total, windows=1)
    now = progress.snapshot()
    assert now.value == pytest.approx(0.98 * job.plan["top"].tokens_total / total)
    assert now.levels["middle"].tokens_done == 0
    for level, plan in job.plan.items():
        progress.set_kept(level, tokens=plan.tokens_total, windows=plan.windows_total)
    assert progress.snapshot().value == pytest.approx(0.98)
    progress.set_rendered(1.0)
    assert progress.snapshot().value == pytest.approx(1.0)


RENDERING = 0.02 / 0.98
"""What follows the drawing, against all of it."""


def works_of(job, **token_costs):
    return {level: cost * job.plan[level].tokens_total for level, cost in token_costs.items()}


def test_progress_weighs_a_level_by_the_work_that_it_is(service):
    job = service.admit()
    progress = StageProgress(job)
    works = works_of(job, top=8.0, middle=1.0, bottom=1.0)
    progress.set_works(works)
    progress.set_kept("top", tokens=job.plan["top"].tokens_total, windows=1)
    value = progress.snapshot().value
    assert value == pytest.approx(0.98 * works["top"] / sum(works.values()))


def test_progress_of_a_level_is_its_work_and_not_its_tokens(service):
    """A warm-up gives the song no token, and takes its time."""
    job = service.admit()
    progress = StageProgress(job)
    works = works_of(job, top=8.0, middle=1.0, bottom=1.0)
    progress.set_works(works)
    progress.watch(
        "middle",
        lambda: LevelProgress(tokens_done=0),
        lambda: SampledWork(tokens=works["middle"] / 2),
    )
    now = progress.snapshot()
    assert now.levels["middle"].tokens_done == 0
    assert now.value == pytest.approx(0.98 * works["middle"] / 2 / sum(works.values()))


def test_the_seconds_left_are_guessed_until_the_speed_of_the_first_level_is_known(service):
    job = service.admit()
    now = 100.0
    progress = StageProgress(job, clock=lambda: now)
    works = works_of(job, top=2.0, middle=1.0, bottom=1.0)
    work = sum(works.values())
    progress.set_works(works)
    tokens = 0
    progress.watch("top", lambda: LevelProgress(tokens_done=tokens))
    assert progress.snapshot().seconds_left is None
    progress.set_works(works, work_sec=0.5)
    assert progress.snapshot().seconds_left == pytest.approx(0.5 * work * (1.0 + RENDERING))
    now += 500.0  # a model is loaded meanwhile
    assert progress.snapshot().seconds_left == pytest.approx(0.5 * work * (1.0 + RENDERING))
    for _ in range(60):
        now, tokens = now + 1.0, tokens + 2
        left = progress.snapshot().seconds_left
        work_left = work - 2.0 * tokens + work * RENDERING
        # Four units of work in a second: twice as fast as was guessed.
        assert 0.249 * work_left < left < 0.5 * work_left
    assert left == pytest.approx(0.25 * work_left)
    progress.set_rendered(0.5)
    assert progress.snapshot().seconds_left == pytest.approx(left - work * RENDERING / 8.0)


def test_the_seconds_left_follow_from_the_speed_of_the_first_level(service):
    job = service.admit()
    now, tokens = 100.0, 0
    progress = StageProgress(job, clock=lambda: now)
    works = works_of(job, top=2.0, middle=1.0, bottom=1.0)
    progress.set_works(works)
    progress.watch("top", lambda: LevelProgress(tokens_done=tokens))
    assert progress.snapshot().seconds_left is None
    now += 500.0  # a model is loaded meanwhile
    assert progress.snapshot().seconds_left is None
    now, tokens = now + 2.0, 10
    work_left = sum(works.values()) * (1.0 + RENDERING) - 2.0 * 10
    assert progress.snapshot().seconds_left == pytest.approx(work_left * 2.0 / 20.0)


def test_what_was_read_from_the_disk_is_no_speed(service):
    job = service.admit()
    now = 0.0
    progress = StageProgress(job, clock=lambda: now)
    assert progress.snapshot().seconds_left is None
    now = 5.0
    progress.set_kept("top", tokens=job.plan["top"].tokens_total, windows=1)
    assert progress.snapshot().seconds_left is None


def test_a_speed_is_that_of_the_last_minute(service):
    job = service.admit()
    now, tokens = 0.0, 0
    progress = StageProgress(job, clock=lambda: now)
    progress.watch("top", lambda: LevelProgress(tokens_done=tokens))
    for second in range(200):
        now = float(second)
        tokens += 1 if second < 100 else 2
        left = progress.snapshot().seconds_left
    total = sum(plan.tokens_total for plan in job.plan.values())
    assert left == pytest.approx((total - tokens + total * RENDERING) / 2.0, rel=0.02)
