"""Deadlines, expiry, pins: the server's clock decides, and a late or second sweep does no harm."""

from dataclasses import replace

import pytest

from jobs.errors import IdempotencyKeyReused, JobNotFound, LeaseLost, LimitReached
from jobs.idempotency import IdempotencyKey
from jobs.limits import JobLimits
from jobs.record.job import JobStatus, LevelPlan, Stage, new_job_id
from jobs.store.scripts import FEED_KEY
from tests.jobs.records import ERROR, METRICS, new_job, take, window

pytestmark = pytest.mark.redis

SHORT_SEC = 60.0


def created(store, *, owner=None, kept_sec=None, codes_kept_sec=None, limits=None, **request):
    job = replace(new_job(**request), owner=owner, kept_sec=kept_sec, codes_kept_sec=codes_kept_sec)
    return store.create(job, limits=limits or JobLimits())


def pass_time(clock):
    clock.pass_time(1.5 * SHORT_SEC)


def succeeded(store, **kept):
    job = created(store, levels=("top",), **kept)
    claim = take(store, job)
    store.record_window(claim, window())
    store.finish_stage(claim, Stage.RENDER, metrics=METRICS, codes_name="codes.safetensors")
    store.succeed(take(store, job, Stage.RENDER))
    return store.get(job.id)


class TestDeadlines:
    def test_a_waiting_job_fails_when_its_time_is_up(self, store, clock):
        job = created(store, timeout_seconds=SHORT_SEC)
        assert store.get(job.id).deadline_at is not None
        assert store.overdue() == []
        pass_time(clock)
        assert store.overdue() == [job.id]
        assert store.end_overdue(job.id)
        failed = store.get(job.id)
        assert (failed.status, failed.error.code) == ("failed", "deadline_exceeded")
        assert failed.error.retryable
        assert store.overdue() == []
        assert not store.end_overdue(job.id)

    def test_nobody_claims_an_overdue_job(self, store, clock):
        job = created(store, timeout_seconds=SHORT_SEC)
        pass_time(clock)
        assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=9) is None
        assert store.get(job.id).error.code == "deadline_exceeded"

    def test_a_running_job_fails_at_the_next_heartbeat_and_its_worker_is_out(self, store, clock):
        job = created(store, timeout_seconds=4 * SHORT_SEC)
        claim = take(store, job)
        assert store.heartbeat(claim, {}, 0.1, lease_sec=9) is False
        clock.pass_time(5 * SHORT_SEC)
        with pytest.raises(LeaseLost):
            store.heartbeat(claim, {}, 0.2, lease_sec=9)
        assert store.get(job.id).error.code == "deadline_exceeded"
        with pytest.raises(LeaseLost):
            store.record_window(claim, window())

    def test_a_running_job_fails_also_when_nobody_hears_of_its_worker(self, store, clock):
        job = created(store, timeout_seconds=2 * SHORT_SEC)
        take(store, job)
        clock.pass_time(3 * SHORT_SEC)
        assert store.end_overdue(job.id)
        assert store.get(job.id).status is JobStatus.FAILED
        assert store.due() == []

    def test_a_song_that_is_done_before_anybody_looks_is_done(self, store, clock):
        job = created(store, timeout_seconds=2 * SHORT_SEC)
        claim = take(store, job)
        clock.pass_time(3 * SHORT_SEC)
        store.succeed(claim)
        assert not store.end_overdue(job.id)
        assert store.get(job.id).status is JobStatus.SUCCEEDED

    def test_an_overdue_job_that_is_to_be_canceled_becomes_canceled(self, store, clock):
        job = created(store, timeout_seconds=2 * SHORT_SEC)
        take(store, job)
        store.request_cancel(job.id)
        clock.pass_time(3 * SHORT_SEC)
        assert store.end_overdue(job.id)
        assert store.get(job.id).status is JobStatus.CANCELED

    def test_a_retry_gets_as_much_time_again(self, store, clock):
        job = created(store, timeout_seconds=4 * SHORT_SEC)
        store.fail(take(store, job), ERROR)
        clock.pass_time(5 * SHORT_SEC)
        assert store.overdue() == []
        store.retry(job.id)
        assert store.overdue() == []
        assert take(store, job).job.deadline_at > store.get(job.id).created_at
        clock.pass_time(5 * SHORT_SEC)
        assert store.overdue() == [job.id]

    def test_a_job_without_a_timeout_has_all_the_time(self, store):
        job = created(store)
        assert store.get(job.id).deadline_at is None
        assert not store.end_overdue(job.id)


class TestExpiry:
    def test_a_job_expires_so_long_after_its_end(self, store, clock):
        job = succeeded(store, kept_sec=SHORT_SEC)
        kept_sec = (job.expires_at - job.completed_at).total_seconds()
        assert kept_sec == pytest.approx(SHORT_SEC, abs=0.01)
        pass_time(clock)
        assert store.expired() == [job.id]
        assert store.expire(job.id)
        with pytest.raises(JobNotFound):
            store.get(job.id)
        assert store.counts()[JobStatus.SUCCEEDED] == 0
        [(job_id, seen)] = store.untidy()
        assert job_id == job.id
        store.tidied(job.id, seen)
        assert store._redis.keys("jukebox:*") == [FEED_KEY]

    def test_a_job_that_has_not_ended_does_not_expire(self, store, clock):
        job = created(store, kept_sec=SHORT_SEC)
        pass_time(clock)
        assert store.expired() == []
        assert not store.expire(job.id)
        assert store.get(job.id).expires_at is None

    def test_a_sweep_before_its_time_forgets_nothing(self, store):
        job = succeeded(store, kept_sec=3600.0, codes_kept_sec=3600.0)
        assert not store.expire(job.id)
        assert not store.expire_codes(job.id)
        assert store.get(job.id) == job

    def test_a_job_of_which_nothing_was_said_is_kept(self, store):
        job = succeeded(store)
        assert (job.expires_at, job.codes_expire_at) == (None, None)
        assert store.expired() == store.expired_codes() == []

    def test_a_retry_ends_the_waiting_for_the_end(self, store, clock):
        job = created(store, kept_sec=SHORT_SEC, codes_kept_sec=SHORT_SEC)
        store.fail(take(store, job), ERROR)
        store.retry(job.id)
        pass_time(clock)
        assert not store.expire(job.id)
        assert not store.expire_codes(job.id)
        assert (
            store.get(job.id, with_windows=True).expires_at,
            store.get(job.id).codes_expire_at,
        ) == (None, None)

    def test_codes_may_go_before_the_song(self, store, clock):
        job = succeeded(store, kept_sec=3600.0, codes_kept_sec=SHORT_SEC)
        assert store.get(job.id, with_windows=True).codes
        assert job.codes_expire_at < job.expires_at
        pass_time(clock)
        assert store.expired_codes() == [job.id]
        assert store.expire_codes(job.id)
        after = store.get(job.id, with_windows=True)
        assert (after, after.codes) == (replace(job, codes_name=None), ())
        assert store.expired_codes() == []
        assert store.untidy()[0][0] == job.id

    def test_a_second_sweeper_finds_nothing_to_do(self, store, clock):
        job = succeeded(store, kept_sec=SHORT_SEC)
        pass_time(clock)
        assert store.expire(job.id)
        assert not store.expire(job.id)
        assert store.expired() == []

    def test_what_became_untidy_again_meanwhile_is_looked_at_again(self, store, clock):
        job = succeeded(store, kept_sec=SHORT_SEC, codes_kept_sec=SHORT_SEC)
        pass_time(clock)
        store.expire_codes(job.id)
        [(_, seen)] = store.untidy()
        clock.pass_time(0.1)
        store.expire(job.id)
        store.tidied(job.id, seen)
        assert len(store.untidy()) == 1


class TestPins:
    def test_a_pinned_job_stays_and_after_that_its_time_counts_anew(self, store, clock):
        job = succeeded(store, kept_sec=SHORT_SEC, codes_kept_sec=SHORT_SEC)
        pinned = store.set_pinned(job.id, True)
        assert (pinned.pinned, pinned.expires_at, pinned.codes_expire_at) == (True, None, None)
        pass_time(clock)
        assert store.expired() == store.expired_codes() == []
        assert not store.expire(job.id)
        unpinned = store.set_pinned(job.id, False)
        assert not unpinned.pinned
        assert unpinned.expires_at > job.expires_at
        pass_time(clock)
        assert store.expire(job.id)

    def test_a_job_may_be_pinned_before_its_end(self, store):
        job = created(store, kept_sec=SHORT_SEC)
        store.set_pinned(job.id, True)
        store.request_cancel(job.id)
        assert store.get(job.id).expires_at is None
        assert store.set_pinned(job.id, False).expires_at is not None

    def test_unpinning_what_is_not_pinned_gives_no_more_time(self, store):
        job = succeeded(store, kept_sec=3600.0)
        assert store.set_pinned(job.id, False).expires_at == job.expires_at

    def test_codes_that_are_gone_are_not_said_to_be_kept(self, store, clock):
        job = succeeded(store, kept_sec=3600.0, codes_kept_sec=SHORT_SEC)
        pass_time(clock)
        store.expire_codes(job.id)
        store.set_pinned(job.id, True)
        after = store.set_pinned(job.id, False)
        assert after.codes_expire_at == job.codes_expire_at
        assert store.expired_codes() == []

    def test_its_owner_may_delete_it_all_the_same(self, store):
        job = succeeded(store, kept_sec=3600.0)
        store.set_pinned(job.id, True)
        store.delete(job.id)
        store.tidied(job.id)
        assert store._redis.keys("jukebox:*") == [FEED_KEY]

    def test_what_is_not_there_is_not_pinned(self, store):
        with pytest.raises(JobNotFound):
            store.set_pinned(new_job_id(), True)
        with pytest.raises(JobNotFound):
            store.set_pinned("no id", True)


class TestMusicOfADay:
    LIMITS = JobLimits(max_audio_sec_per_owner=5)

    def ask(self, store, owner="alice", **request):
        return created(store, owner=owner, limits=self.LIMITS, **request)

    def refused(self, call):
        with pytest.raises(LimitReached) as caught:
            call()
        assert (caught.value.code, caught.value.limit) == ("audio_quota_exceeded", 5)
        assert 0 < caught.value.retry_after_sec <= 86_400

    def test_seconds_of_all_takes_are_counted_for_each_owner(self, store):
        self.ask(store, num_samples=2)
        self.refused(lambda: self.ask(store))
        self.ask(store, owner="bob", num_samples=2)
        self.ask(store, owner=None, num_samples=16)
        assert store.counts()[JobStatus.QUEUED] == 3

    def test_what_was_canceled_before_it_began_does_not_count(self, store):
        job = self.ask(store, num_samples=2)
        store.request_cancel(job.id)
        begun = self.ask(store, num_samples=2)
        store.cancel(self.canceling(store, begun))
        self.refused(lambda: self.ask(store))

    def canceling(self, store, job):
        claim = take(store, job)
        store.request_cancel(job.id)
        return claim

    def test_a_retry_of_what_did_not_count_counts(self, store, clock):
        job = self.ask(store, num_samples=2, timeout_seconds=SHORT_SEC)
        pass_time(clock)
        store.end_overdue(job.id)
        self.ask(store, num_samples=2)
        self.refused(lambda: store.retry(job.id, limits=self.LIMITS))
        assert store.get(job.id).status is JobStatus.FAILED

    def test_a_retry_of_what_counted_is_free(self, store):
        job = self.ask(store, num_samples=2)
        store.fail(take(store, job), ERROR)
        store.retry(job.id, limits=self.LIMITS)

    def test_what_is_kept_from_a_prompt_is_not_drawn(self):
        plans = {
            "top": LevelPlan(
                tokens_total=100, windows_total=1, samples_per_token=256, prompt_tokens=75
            ),
            "middle": LevelPlan(
                tokens_total=400, windows_total=1, samples_per_token=64, prompt_tokens=200
            ),
        }
        job = replace(new_job(num_samples=3), plan=plans, duration_sec=10.0)
        assert job.drawn_audio_sec == pytest.approx(15.0)


class TestKeys:
    def key(self, request="a" * 64):
        return IdempotencyKey(caller="alice", key="once", request_sha256=request)

    def test_a_retry_that_is_sent_again_is_done_once(self, store):
        job = created(store)
        store.fail(take(store, job), ERROR)
        first, was_there = store.retry(job.id, idempotency=self.key())
        assert (first.status, was_there) == ("queued", False)
        store.fail(take(store, job), ERROR)
        again, was_there = store.retry(job.id, idempotency=self.key())
        assert (again.status, was_there) == ("failed", True)
        with pytest.raises(IdempotencyKeyReused):
            store.retry(job.id, idempotency=self.key("b" * 64))

    def test_a_key_stands_for_one_thing_until_that_is_gone(self, store):
        assert store.remembered(self.key()) is None
        assert store.remember(self.key(), "asset_1") == "asset_1"
        assert store.remember(self.key(), "asset_2") == "asset_1"
        assert store.remembered(self.key()) == "asset_1"
        assert store.remember(self.key(), "asset_2", gone="asset_1") == "asset_2"
        with pytest.raises(IdempotencyKeyReused):
            store.remembered(self.key("b" * 64))
