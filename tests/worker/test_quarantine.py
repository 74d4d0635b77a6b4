"""Songs that a worker died with draw one at a time, so that the guilty one dies alone."""

import time

import pytest

from jobs.record.job import JobStatus, Stage
from jobs.store import Claim
from tests.worker.jobs_and_processes import run_stage
from worker.lease.quarantine import Quarantine

pytestmark = pytest.mark.redis


def crashed(service, **wanted):
    """A job whose worker died a moment ago."""
    job = service.admit(**wanted)
    claim = service.store.claim(job.id, Stage.TOP, worker="dead", lease_sec=0.01)
    time.sleep(0.02)
    assert isinstance(claim, Claim)
    return service.store.get(job.id)


def test_of_two_suspects_one_waits_until_the_other_is_harmless(service):
    quarantine, first, second = Quarantine(), crashed(service), crashed(service)
    assert quarantine.admit(first)
    assert not quarantine.admit(second)
    assert quarantine.admit(service.admit()), "whoever met no crash need not wait"
    quarantine.leave(second.id)
    assert not quarantine.admit(second)
    quarantine.leave(first.id)
    assert quarantine.admit(second)


def test_a_suspect_that_has_to_wait_is_not_claimed_and_counts_no_crash(service, worker):
    present, waiting = crashed(service), crashed(service)
    assert worker.quarantine.admit(present)
    run_stage(worker, waiting.id, Stage.TOP)
    assert service.store.get(waiting.id).fence == waiting.fence
    worker.quarantine.leave(present.id)
    run_stage(worker, waiting.id, Stage.TOP)
    job = service.store.get(waiting.id, with_windows=True)
    assert (job.stage, job.attempt, job.crashes) == (Stage.MIDDLE, 2, 0)
    assert worker.quarantine.admit(present), "nobody is left in there"


def test_crashes_are_forgiven_once_a_window_is_kept(service, worker):
    job = crashed(service)
    for _ in range(4):
        run_stage(worker, job.id, Stage.TOP)
        stage = service.store.get(job.id).stage
        service.store.claim(job.id, stage, worker="dead", lease_sec=0.01)
        time.sleep(0.02)
        run_stage(worker, job.id, stage)
        job = service.store.get(job.id, with_windows=True)
        if job.is_terminal:
            break
    assert job.status is JobStatus.SUCCEEDED, job.error
