"""`POST /jobs/{id}/retry`: a failed job goes on from what was drawn."""

import pytest

from jobs.record.job import JobError, Stage, new_job_id
from tests.api.conftest import Service, assert_problem
from tests.api.sse import read_events

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def failed_at_the_middle(service: Service):
    job = await service.post()
    service.worker.finish_level(service.worker.claim(job["id"]))
    error = JobError(code="out_of_memory", message="the device is full", retryable=True)
    service.store.fail(service.worker.claim(job["id"], Stage.MIDDLE), error)
    return (await service.client.get(job["urls"]["self"])).json()


async def test_a_failed_job_goes_on_where_it_failed(service: Service):
    failed = await failed_at_the_middle(service)
    response = await service.client.post(f"/jobs/{failed['id']}/retry")

    assert response.status_code == 200
    job = response.json()
    assert (job["status"], job["stage"], job["error"]) == ("queued", "middle", None)
    assert (job["attempt"], job["completed_at"]) == (1, None)
    assert job["queue_position"] == 0
    assert job["outputs"] == failed["outputs"]
    assert job["started_at"] == failed["started_at"]
    assert service.queue.depth(Stage.MIDDLE) == 1

    for stage in (Stage.MIDDLE, Stage.BOTTOM):
        service.worker.finish_level(service.worker.claim(job["id"], stage))
    service.store.succeed(service.worker.claim(job["id"], Stage.RENDER))
    done = (await service.client.get(job["urls"]["self"])).json()
    assert done["status"] == "succeeded"
    assert [output["level"] for output in done["outputs"]] == ["top", "middle", "bottom"]


async def test_only_a_job_that_failed_is_tried_again(service: Service):
    job = await service.post()
    response = await service.client.post(f"/jobs/{job['id']}/retry")
    assert "queued" in assert_problem(response, 409, "job_not_retryable")["detail"]
    service.worker.sing(job["id"])
    response = await service.client.post(f"/jobs/{job['id']}/retry")
    assert "succeeded" in assert_problem(response, 409, "job_not_retryable")["detail"]


async def test_a_job_that_would_fail_again_is_not_tried_again(service: Service):
    job = await service.post()
    error = JobError(code="invalid_song", message="it cannot be sung", retryable=False)
    service.store.fail(service.worker.claim(job["id"]), error)
    response = await service.client.post(f"/jobs/{job['id']}/retry")
    assert "not retryable" in assert_problem(response, 409, "job_not_retryable")["detail"]


async def test_a_job_that_is_not_there_is_a_404(service: Service):
    response = await service.client.post(f"/jobs/{new_job_id()}/retry")
    assert_problem(response, 404, "job_not_found")


async def test_who_listens_from_before_the_failure_hears_the_rest(service: Service):
    """The old end is no end any more: the stream goes on to the new one."""
    failed = await failed_at_the_middle(service)
    await service.client.post(f"/jobs/{failed['id']}/retry")
    await service.client.post(f"/jobs/{failed['id']}/cancel")
    response = await service.client.get(failed["urls"]["events"], headers={"last-event-id": "1-0"})
    statuses = [
        event.data["status"]
        for event in read_events(iter(response.text.splitlines()))
        if event.kind == "status"
    ]
    assert statuses[-3:] == ["failed", "queued", "canceled"]
