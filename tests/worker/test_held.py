"""A worker that comes back to the store does not take its jobs from itself."""

import time

import pytest

from jobs.record.job import Stage
from tests.worker.jobs_and_processes import run_stage
from tests.worker.test_lease import hold_of

pytestmark = pytest.mark.redis


def test_a_message_about_a_job_that_is_held_here_renews_the_lease_that_ran_out(service, worker):
    job = service.admit()
    claim = service.store.claim(job.id, Stage.TOP, worker="me", lease_sec=0.01)
    # Cut off: no heartbeat was heard for longer than the lease.
    time.sleep(0.05)
    with worker.held.keeping(hold_of(service.store, claim, lease_sec=900.0)):
        run_stage(worker, job.id, Stage.TOP)
    found = service.store.get(job.id)
    assert (found.fence, found.attempt, found.crashes) == (claim.fence, 1, 0)
    assert service.store.claim(job.id, Stage.TOP, worker="you", lease_sec=1) is None, "held again"


def test_a_message_about_a_job_that_others_claimed_meanwhile_is_followed(service, worker):
    job = service.admit()
    claim = service.store.claim(job.id, Stage.TOP, worker="me", lease_sec=0.01)
    time.sleep(0.02)
    assert service.store.claim(job.id, Stage.TOP, worker="you", lease_sec=0.01) is not None
    time.sleep(0.02)
    with worker.held.keeping(hold_of(service.store, claim)):
        run_stage(worker, job.id, Stage.TOP)
    assert service.store.get(job.id).stage is Stage.MIDDLE


def test_a_job_is_held_only_as_long_as_somebody_works_on_it(service, worker):
    job = service.admit()
    claim = service.store.claim(job.id, Stage.TOP, worker="me", lease_sec=0.01)
    with worker.held.keeping(hold_of(service.store, claim)):
        pass
    assert not worker.held.renew(job.id)
