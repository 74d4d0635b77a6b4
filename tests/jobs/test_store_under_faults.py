"""Races, crashes of the server, and long random lives of jobs."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.errors import (
    IllegalTransition,
    JobNotFound,
    LeaseLost,
    NotRetryable,
    StoreUnavailable,
)
from jobs.record.job import (
    NEXT_STATUSES,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelProgress,
    Stage,
    stages_of,
)
from jobs.store import JobStore
from jobs.store.connection import REPLY_TIMEOUT_SEC
from tests.jobs.records import new_job, window

pytestmark = pytest.mark.redis

LEASE_SEC = 30.0
AT_ONCE_SEC = 60.0
"""What needs no waiting at all, on a machine that is busy with something else."""
PATIENCE_SEC = 60.0
METRICS = LevelMetrics(seconds=1.5, tokens_per_second=83.3)
ERROR = JobError(code="x", message="y", retryable=False)


def at_once(calls):
    """Results of the calls, made by as many threads at the same moment."""
    barrier = threading.Barrier(len(calls))

    def call(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call, c) for c in calls]]


def running(store):
    job = new_job()
    store.create(job)
    claim = store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC)
    assert claim is not None
    return claim


@pytest.mark.parametrize("how", ["queued", "released", "expired"] * 4)
def test_of_many_claimers_at_once_exactly_one_wins(store, how):
    job = new_job()
    store.create(job)
    if how != "queued":
        lease_sec = 0.001 if how == "expired" else LEASE_SEC
        first = store.claim(job.id, Stage.TOP, worker="first", lease_sec=lease_sec)
        if how == "released":
            store.release(first)
        time.sleep(0.02)
    claims = at_once(
        [
            lambda n=n: store.claim(job.id, Stage.TOP, worker=str(n), lease_sec=LEASE_SEC)
            for n in range(8)
        ]
    )
    [winner] = [claim for claim in claims if claim is not None]
    kept = store.get(job.id)
    assert (kept.worker, kept.fence) == (winner.worker, winner.fence)
    assert kept.attempt == (2 if how == "expired" else 1)


@pytest.mark.parametrize("turn", range(8))
def test_a_claim_and_a_cancel_at_once_agree(store, turn):
    job = new_job()
    store.create(job)
    claim, canceled = at_once(
        [
            lambda: store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC),
            lambda: store.request_cancel(job.id),
        ]
    )
    expected = JobStatus.CANCELED if claim is None else JobStatus.CANCELING
    assert canceled.status is store.get(job.id).status is expected


@pytest.mark.parametrize("turn", range(8))
def test_a_job_ends_once(store, turn):
    claim = running(store)
    store.request_cancel(claim.job.id)

    def tried(write, *arguments):
        try:
            write(*arguments)
        except LeaseLost:
            return False
        return True

    ends = [
        lambda: tried(store.succeed, claim),
        lambda: tried(store.fail, claim, ERROR),
        lambda: tried(store.cancel, claim),
        lambda: tried(store.release, claim),
    ]
    assert sum(at_once(ends)) == 1
    assert store.get(claim.job.id).is_terminal


def test_a_dead_server_is_noticed_at_once_and_nothing_is_lost(redis_server):
    store = JobStore(redis_server.url)
    claim = running(store)
    store.record_window(claim, window())
    before = store.get(claim.job.id)
    redis_server.kill()
    for call in (
        store.ping,
        lambda: store.get(claim.job.id),
        store.counts,
        store.list_jobs,
        lambda: store.create(new_job()),
        lambda: store.heartbeat(claim, {}, 0.5, lease_sec=LEASE_SEC),
    ):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            call()
        assert time.monotonic() - began < AT_ONCE_SEC
    redis_server.restart()
    assert store.get(claim.job.id) == before
    assert store.heartbeat(claim, {}, 0.5, lease_sec=LEASE_SEC) is False
    assert store.counts()[JobStatus.RUNNING] == 1
    store.close()


def test_every_acknowledged_write_survives_a_kill_in_the_middle(redis_server):
    store = JobStore(redis_server.url)
    acknowledged = []

    def write():
        while True:
            job = new_job()
            try:
                store.create(job)
            except StoreUnavailable:
                return
            acknowledged.append(job)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_SEC
    while len(acknowledged) < 50:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    redis_server.kill()
    for thread in threads:
        thread.join(PATIENCE_SEC)
    redis_server.restart()
    for job in acknowledged:
        assert store.get(job.id) == job
    # A write whose answer was lost is there whole or not at all.
    assert len(acknowledged) <= store.counts()[JobStatus.QUEUED] <= len(acknowledged) + 4
    store.close()


def test_a_hung_server_is_noticed_within_seconds(redis_server):
    store = JobStore(redis_server.url)
    store.ping()
    redis_server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert time.monotonic() - began < REPLY_TIMEOUT_SEC + AT_ONCE_SEC
    finally:
        redis_server.thaw()
    store.ping()
    store.close()


def test_the_server_knows_nothing_of_scripts_after_a_restart_and_is_told(redis_server):
    store = JobStore(redis_server.url)
    store.create(new_job())
    redis_server.restart()
    store.create(new_job())
    assert store.counts()[JobStatus.QUEUED] == 2
    store.close()


class Life:
    """One job pushed about at random; remembers every claim, also those that were lost."""

    def __init__(self, store, seed):
        self.store, self.chance = store, random.Random(seed)
        self.job = new_job()
        self.claims = []
        self.seen = [JobStatus.QUEUED]
        self.num_retries = 0
        store.create(self.job)

    def step(self):
        others = [self.cancel_request, self.retry]
        action = self.chance.choice([self.claim] * 3 + others + [self.write] * 4)
        try:
            action()
        except (LeaseLost, IllegalTransition, NotRetryable):
            return

    def claim(self):
        stage = self.chance.choice(list(Stage) + [self.store.get(self.job.id).stage] * 6)
        lease_sec = self.chance.choice([0.0, 0.001, LEASE_SEC])
        claim = self.store.claim(self.job.id, stage, worker="w", lease_sec=lease_sec)
        if claim is not None:
            self.claims.append(claim)

    def cancel_request(self):
        if self.chance.random() < 0.1:
            self.store.request_cancel(self.job.id)

    def retry(self):
        self.store.retry(self.job.id)
        self.num_retries += 1

    def write(self):
        if not self.claims:
            return
        claim = self.chance.choice(self.claims[-2:])
        value = self.chance.random()
        progress = {"top": LevelProgress(tokens_done=int(100 * value))}
        next_stage = claim.job.next_stage() or Stage.RENDER
        writes = [
            lambda: self.store.heartbeat(claim, progress, value, lease_sec=LEASE_SEC),
            lambda: self.store.record_window(claim, window(start=self.chance.randrange(9))),
            lambda: self.store.finish_stage(claim, next_stage, metrics=METRICS, codes_name="c"),
            lambda: self.go_on(claim, next_stage),
            lambda: self.store.release(claim),
            lambda: self.store.cancel(claim),
        ]
        if claim.job.stage is Stage.RENDER:
            writes.append(lambda: self.store.succeed(claim))
        if self.chance.random() < 0.05:
            error = replace(ERROR, retryable=self.chance.random() < 0.5)
            writes = [lambda: self.store.fail(claim, error)]
        self.chance.choice(writes)()

    def go_on(self, claim, next_stage):
        following = self.store.go_on(
            claim, next_stage, metrics=METRICS, codes_name="c", lease_sec=LEASE_SEC
        )
        self.claims.append(following)

    def check(self, before, *, retried):
        """The laws that hold between two moments of any job's life."""
        after = self.store.get(self.job.id)
        if retried:
            assert before.status is JobStatus.FAILED
            assert before.error.retryable
            waiting = replace(before, status=JobStatus.QUEUED, error=None, completed_at=None)
            assert after == replace(waiting, attempt=1, worker=None)
            self.seen.append(after.status)
            return after
        if after.status is not before.status:
            assert reachable(before.status, after.status)
            self.seen.append(after.status)
        assert after.progress_value >= before.progress_value
        assert after.fence >= before.fence
        assert before.attempt <= after.attempt
        assert after.crashes < 3
        stages = stages_of(after.request)
        assert stages.index(after.stage) >= stages.index(before.stage)
        assert after.is_terminal == (after.completed_at is not None)
        if after.is_terminal:
            assert after.lease_expires_at is None
        if before.is_terminal:
            assert after == before
        return after

    def check_indexes(self, job):
        for status in JobStatus:
            listed = [j.id for j in self.store.list_jobs(status=status, model="tiny").jobs]
            assert (job.id in listed) == (status is job.status)
        assert (self.store.queue_position(job.id) is None) == (job.status is not JobStatus.QUEUED)


def reachable(before, after):
    """In one step, or through `canceling` when nobody holds the job."""
    steps = NEXT_STATUSES[before]
    return after in steps or (
        JobStatus.CANCELING in steps and after in NEXT_STATUSES[JobStatus.CANCELING]
    )


def one_step(life, state):
    num_retries = life.num_retries
    life.step()
    return life.check(state, retried=life.num_retries > num_retries)


@pytest.mark.parametrize("seed", range(25))
def test_a_job_lives_by_the_laws_whatever_happens(store, seed):
    life = Life(store, seed)
    state = store.get(life.job.id)
    for _ in range(60):
        state = one_step(life, state)
    life.check_indexes(state)
    if state.is_terminal:
        store.delete(life.job.id)
        with pytest.raises(JobNotFound):
            store.get(life.job.id)


def test_random_lives_reach_every_status(store):
    seen, num_retries = set(), 0
    for seed in range(100, 150):
        life = Life(store, seed)
        state = store.get(life.job.id)
        for _ in range(60):
            state = one_step(life, state)
        seen.update(life.seen)
        num_retries += life.num_retries
    assert num_retries > 0
    assert seen == set(JobStatus) - {JobStatus.EXPIRED}
