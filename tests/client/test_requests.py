import json
from types import SimpleNamespace

import pytest

from cli.local.stack import free_port
from cli.service.sentences import sentence_of
from jukebox_client import (
    InvalidRequest,
    NotFound,
    ServiceFailure,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from tests.fixtures.scripted_service import Answer, event_stream, job, json_answer, problem


def test_submit_posts_the_request_and_returns_the_job(service, client):
    service.on("POST", "/jobs", json_answer(job("queued"), 202))
    assert client.create_job(model="tiny").status == "queued"
    assert json.loads(service.requests[-1][3]) == {"model": "tiny"}


def keys_of(service):
    return [headers["idempotency-key"] for headers in service.asked("POST", "/jobs")]


def test_every_submit_has_a_key_of_its_own(service, client):
    service.on("POST", "/jobs", json_answer(job("queued"), 202))
    client.create_job({"model": "tiny"})
    client.create_job({"model": "tiny"})
    assert len(set(keys_of(service))) == 2


def test_a_submit_whose_answer_is_lost_is_sent_again_with_the_same_key(service, client, slept):
    lost = Answer(b"{", 202, declared_bytes=100)
    away = problem(503, "store_unavailable", "The job store cannot be reached.")
    away.headers["retry-after"] = "0.1"
    service.on("POST", "/jobs", [lost, away, json_answer(job("queued"), 200)])
    assert client.create_job(model="tiny").status == "queued"
    assert len(keys_of(service)) == 3
    assert len(set(keys_of(service))) == 1
    assert slept == [1.0, 0.1]


def test_a_submit_gives_up_on_a_service_that_stays_away(service, client, slept, monkeypatch):
    """Its clock shows nothing but its own pauses."""
    clock = SimpleNamespace(monotonic=lambda: sum(slept))
    for twin in ("sync", "aio"):
        monkeypatch.setattr(f"jukebox_client.{twin}.transport.time", clock)
    away = problem(503, "store_unavailable", "The job store cannot be reached.")
    away.headers["retry-after"] = "15"
    service.on("POST", "/jobs", away)
    client.patience_sec = 20.0
    with pytest.raises(ServiceFailure, match="cannot be reached"):
        client.create_job({"model": "tiny"})
    assert len(keys_of(service)) == 2


def test_a_refused_submit_is_not_sent_again(service, client):
    service.on("POST", "/jobs", problem(422, "invalid_request", "no such model"))
    with pytest.raises(InvalidRequest):
        client.create_job({})
    assert len(keys_of(service)) == 1


def test_a_submit_tells_at_once_when_nobody_listens(slept, make_client):
    url = f"http://127.0.0.1:{free_port()}"
    with make_client(url, sleep=slept.append) as client, pytest.raises(ServiceUnreachable):
        client.create_job({})
    assert slept == []


def test_a_refusal_is_the_service_s_sentence_with_the_options_at_fault(service, client):
    faults = [{"pointer": "/duration_seconds", "detail": "must be at most 20"}]
    service.on(
        "POST", "/jobs", problem(422, "invalid_request", "/duration_seconds: must ...", faults)
    )
    with pytest.raises(InvalidRequest) as caught:
        client.create_job({})
    refusal = caught.value
    assert str(refusal) == "/duration_seconds: must be at most 20"
    assert (refusal.status, refusal.code) == (422, "invalid_request")
    assert [fault.pointer for fault in refusal.errors] == ["/duration_seconds"]
    assert sentence_of(refusal) == "the service refuses this:\n  --seconds: must be at most 20"


def test_an_error_that_is_no_problem_document_is_told_by_its_status(service, client):
    service.on("GET", "/models", Answer(b"<html>", 502, {"content-type": "text/html"}))
    with pytest.raises(ServiceFailure, match="502 Bad Gateway"):
        client.list_models()


def test_where_nobody_answers_the_sentence_says_how_to_start_one(make_client, monkeypatch):
    # `make` has a goal for it, which would be named instead.
    monkeypatch.delenv("MAKELEVEL", raising=False)
    with (
        make_client(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(ServiceUnreachable) as caught,
    ):
        client.list_models()
    assert "jukebox serve" in sentence_of(caught.value)


def test_a_strange_id_stays_one_segment_of_the_path(service, client):
    with pytest.raises(NotFound):
        client.get_job("../models?x")
    assert service.requests[-1][1] == "/jobs/..%2Fmodels%3Fx"


def test_follow_yields_the_snapshot_and_every_change(service, client):
    progress = {"value": 0.1, "level": "top", "levels": {"top": {"tokens_done": 50}}}
    stream = event_stream(
        ("snapshot", job("queued")),
        ("status", {"status": "running", "job": job("running")}),
        ("progress", progress),
        ("status", {"status": "succeeded", "job": job("succeeded")}),
    )
    service.on("GET", "/jobs/job_1/events", stream)
    seen = list(client.follow_job("job_1"))
    assert [view.status for view in seen] == ["queued", "running", "running", "succeeded"]
    top, middle = seen[2].progress.levels
    assert (top.tokens_done, top.tokens_total, middle.tokens_done) == (50, 100, 0)
    assert seen[2].progress.value == 0.1


def test_without_an_event_stream_follow_polls_at_the_pace_the_service_asks_for(
    service, client, slept
):
    service.on("GET", "/jobs/job_1/events", problem(404, "not_found", "no such page"))
    views = [json_answer(job(), retry_after="3"), json_answer(job(), retry_after="0.5")]
    service.on("GET", "/jobs/job_1", [*views, json_answer(job("succeeded"))])
    assert [view.status for view in client.follow_job("job_1")] == ["running"] * 2 + ["succeeded"]
    assert slept == [3.0, 0.5]


def test_a_broken_stream_is_opened_again(service, client):
    broken = event_stream(("snapshot", job()))
    broken.declared_bytes = len(broken.body) + 100
    whole = event_stream(("snapshot", job("canceled")))
    service.on("GET", "/jobs/job_1/events", [broken, whole])
    service.on("GET", "/jobs/job_1", json_answer(job(), retry_after="0"))
    seen = [view.status for view in client.follow_job("job_1")]
    assert seen == ["running", "running", "canceled"]


def test_follow_bears_a_service_that_is_away_for_a_moment(service, client, slept):
    service.on("GET", "/jobs/job_1/events", problem(503, "store_unavailable", "no store"))
    answers = [problem(503, "store_unavailable", "no store"), json_answer(job("succeeded"))]
    service.on("GET", "/jobs/job_1", answers)
    assert [view.status for view in client.follow_job("job_1")] == ["succeeded"]
    assert slept == [1.0]


def test_follow_gives_up_on_a_service_that_stays_away(make_client):
    with (
        make_client(
            f"http://127.0.0.1:{free_port()}", sleep=lambda _: None, patience_sec=0.1
        ) as client,
        pytest.raises(ServiceUnreachable),
    ):
        list(client.follow_job("job_1"))


def test_follow_tells_at_once_that_there_is_no_such_job(service, client, slept):
    with pytest.raises(NotFound, match="nothing at"):
        list(client.follow_job("job_1"))
    assert slept == []


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_a_server_that_is_another_one_is_one_sentence(service, client, body):
    service.on("GET", "/jobs/job_1", Answer(body))
    with pytest.raises(UnexpectedAnswer) as caught:
        client.get_job("job_1")
    assert "Check --url" in sentence_of(caught.value)


def test_a_redirect_names_the_address_to_use(service, client):
    moved = Answer(b"", 308, {"location": "https://studio.example/jobs/job_1"})
    service.on("GET", "/jobs/job_1", moved)
    with pytest.raises(UnexpectedAnswer, match=r"https://studio.example/jobs/job_1"):
        client.get_job("job_1")
