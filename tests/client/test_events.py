"""Streams of events that break, and waiting for a job."""

import pytest

from jukebox_client import JobFailed, NotFound, ServiceFailure, WaitTimeout, models
from jukebox_client.documents import Document
from tests.fixtures.scripted_service import Answer, event_stream, job, json_answer, problem

EVENTS = "/jobs/job_1/events"


def stream(*events, first_id=0):
    """A stream whose events are counted from `first_id`; the client shall come back at once."""
    answer = event_stream(*events)
    for number in reversed(range(len(events))):
        answer.body = answer.body.replace(
            b"id: %d-0" % number, b"retry: 1\nid: %d-0" % (number + first_id)
        )
    return answer


def broken(answer):
    answer.declared_bytes = len(answer.body) + 100
    return answer


PROGRESS = {"value": 0.5, "level": "top", "levels": {"top": {"tokens_done": 5, "windows_done": 0}}}
DONE = {"status": "succeeded", "stage": "render", "job": job("succeeded")}


def test_a_broken_stream_goes_on_after_the_last_event_that_came(service, client):
    first = broken(stream(("snapshot", job()), ("progress", PROGRESS)))
    service.on("GET", EVENTS, [first, stream(("status", DONE), first_id=2)])
    events = list(client.stream_job_events("job_1"))
    assert [event.kind for event in events] == ["snapshot", "progress", "status"]
    assert [event.id for event in events] == ["0-0", "1-0", "2-0"]
    resumed = [headers.get("last-event-id") for headers in service.asked("GET", EVENTS)]
    assert resumed == [None, "1-0"]


def test_events_have_data_of_their_own_types(service, client):
    news = ("invented", {"a": 1})
    service.on(
        "GET", EVENTS, stream(("snapshot", job()), ("progress", PROGRESS), news, ("status", DONE))
    )
    snapshot, progress, unknown, status = client.stream_job_events("job_1")
    assert isinstance(snapshot.data, models.Job)
    assert isinstance(progress.data, models.ProgressEvent)
    assert progress.data.levels["top"].tokens_done == 5
    assert type(unknown.data) is Document
    assert unknown.data.model_extra == {"a": 1}
    assert isinstance(status.data, models.StatusEvent)
    assert status.data.job.status == "succeeded"


def test_a_stream_that_has_nothing_more_to_say_ends(service, client):
    service.on("GET", EVENTS, Answer(b"", 204, {"content-length": "0"}))
    assert list(client.stream_job_events("job_1", last_event_id="7-0")) == []
    assert service.asked("GET", EVENTS)[0]["last-event-id"] == "7-0"


def test_a_stream_bears_a_service_that_is_away_but_not_a_refusal(service, client, slept):
    away = problem(503, "store_unavailable", "no store")
    service.on("GET", EVENTS, [away, stream(("status", DONE))])
    assert [event.kind for event in client.stream_job_events("job_1")] == ["status"]
    assert slept == [1.0]
    service.on("GET", EVENTS, problem(404, "job_not_found", "no such job"))
    with pytest.raises(NotFound):
        list(client.stream_job_events("job_1"))


def test_a_stream_gives_up_on_a_service_that_stays_away(service, client):
    service.on("GET", EVENTS, problem(503, "store_unavailable", "no store"))
    client.patience_sec = -1.0
    with pytest.raises(ServiceFailure):
        list(client.stream_job_events("job_1"))


@pytest.mark.parametrize("data", ["<html>", "[]", '{"job": {"seed": "x"}}', '{"job": {"id": 7}}'])
def test_an_event_of_another_service_makes_following_a_job_poll(service, client, data):
    strange = Answer(
        f"event: status\ndata: {data}\n\n".encode(), 200, {"content-type": "text/event-stream"}
    )
    service.on("GET", EVENTS, strange)
    service.on("GET", "/jobs/job_1", json_answer(job("succeeded")))
    assert [now.status for now in client.follow_job("job_1")] == ["succeeded"]


def test_the_stream_of_all_jobs_goes_on_for_ever(service, client):
    created = ("created", {"job_id": "job_1", "job": job("queued")})
    reset = ("reset", {"reason": "past_not_kept"})
    ended = ("status", {"job_id": "job_1", "status": "succeeded", "job": job("succeeded")})
    service.on("GET", "/events", [stream(created, ended), stream(reset, first_id=2)])
    events = client.stream_events()
    kinds = [next(events).kind for _ in range(3)]
    assert kinds == ["created", "status", "reset"]
    events.close()


def test_create_and_wait_returns_the_job_as_it_ended(service, client):
    service.on("POST", "/jobs", json_answer(job("queued"), 202))
    service.on("GET", EVENTS, stream(("snapshot", job()), ("status", DONE)))
    assert client.create_and_wait(model="tiny", duration_seconds=2).status == "succeeded"


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_waiting_for_a_job_that_does_not_succeed_raises_with_the_job(service, client, status):
    error = {"code": "out_of_memory", "message": "No memory.", "retryable": True}
    service.on("GET", EVENTS, stream(("snapshot", job(status, error=error))))
    with pytest.raises(JobFailed, match=rf"{status}: No memory. \(out_of_memory\)") as caught:
        client.wait_for_job("job_1")
    assert caught.value.job.error.retryable


def test_waiting_ends_in_time_and_the_job_goes_on(service, client):
    service.on("GET", EVENTS, problem(404, "not_found", "no streams here"))
    service.on("GET", "/jobs/job_1", json_answer(job("running"), retry_after="0"))
    with pytest.raises(WaitTimeout, match=r"running after 0 s") as caught:
        client.wait_for_job("job_1", timeout_sec=0.0)
    assert caught.value.job.status == "running"
    assert service.asked("POST", "/jobs/job_1/cancel") == []
