"""Pages, uploads, sessions, and errors by status."""

import json

import pytest

from jukebox_client import (
    Conflict,
    Gone,
    InvalidRequest,
    JukeboxClientError,
    NotFound,
    PermissionDenied,
    ProblemError,
    RateLimited,
    ServiceFailure,
    Unauthenticated,
    models,
)
from tests.fixtures.scripted_service import SOUND, Answer, job, json_answer, output, problem

JOBS = "/jobs"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, InvalidRequest), (401, Unauthenticated), (403, PermissionDenied), (404, NotFound)),
        *((409, Conflict), (410, Gone), (413, InvalidRequest), (415, InvalidRequest)),
        *((416, InvalidRequest), (422, InvalidRequest), (429, RateLimited), (418, ProblemError)),
        *((500, ServiceFailure), (503, ServiceFailure), (507, ServiceFailure)),
    ],
)
def test_an_error_is_of_the_class_of_its_status(service, client, status, kind):
    answer = problem(status, "some_code", "A sentence of the service.")
    answer.headers["retry-after"] = "3"
    service.on("GET", "/jobs/job_1", answer)
    with pytest.raises(JukeboxClientError, match=r"A sentence of the service\.") as caught:
        client.get_job("job_1")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, "some_code")
    assert caught.value.retry_after_sec == 3.0


@pytest.mark.parametrize("errors", ["no", 7, [1], [{"pointer": 3}], {"a": "b"}, None])
def test_a_problem_of_another_server_is_told_by_its_detail(service, client, errors):
    service.on("GET", "/jobs/job_1", json_answer({"detail": "Nope.", "errors": errors}, 422))
    with pytest.raises(InvalidRequest, match=r"Nope\.") as caught:
        client.get_job("job_1")
    assert caught.value.errors == ()


def page(ids, cursor):
    jobs = [job(id=job_id) for job_id in ids]
    return json_answer({"data": jobs, "has_more": cursor is not None, "next_cursor": cursor})


@pytest.mark.parametrize("path", ["/jobs", "/jobs/job_0/children"])
def test_every_job_of_every_page_comes_once(service, client, path):
    service.on("GET", path, [page(["job_1", "job_2"], "c1"), page(["job_3"], None)])
    found = client.jobs(status="queued") if path == JOBS else client.children("job_0")
    assert [each.id for each in found] == ["job_1", "job_2", "job_3"]
    first, second = (url for _, url, *_ in service.requests)
    assert "limit=100" in first
    assert "cursor" not in first
    assert "cursor=c1" in second
    assert ("status=queued" in second) == (path == JOBS)


def test_a_model_and_fields_make_one_request(service, client):
    service.on("POST", JOBS, json_answer(job("queued"), 202))
    sampling = models.SamplingRequest(top=models.LevelSampling(temperature=0.9))
    body = models.AncestralBody(model="tiny", duration_seconds=2, sampling=sampling)
    client.create_job(body, seed=7)
    assert json.loads(service.requests[-1][3]) == {
        "model": "tiny",
        "duration_seconds": 2.0,
        "sampling": {"top": {"temperature": 0.9}},
        "seed": 7,
    }


@pytest.mark.parametrize("sent_as", ["path", "text", "bytes", "file"])
def test_an_upload_whose_answer_is_lost_is_sent_again_whole(service, client, tmp_path, sent_as):
    sound = tmp_path / "a.wav"
    sound.write_bytes(SOUND)
    lost = Answer(b"{", 201, declared_bytes=100)
    service.on("POST", "/assets", [lost, json_answer({"id": "asset_1", "kind": "audio"}, 201)])
    with sound.open("rb") as opened:
        file = {"path": sound, "text": str(sound), "bytes": SOUND, "file": opened}[sent_as]
        asset = client.create_asset(file, filename="a.wav")
    assert (asset.id, asset.kind) == ("asset_1", "audio")
    bodies = [body for *_, body in service.requests]
    assert len(bodies) == 2
    assert all(SOUND in body and b'filename="a.wav"' in body for body in bodies)
    keys = {headers["idempotency-key"] for headers in service.asked("POST", "/assets")}
    assert len(keys) == 1


def test_a_session_is_kept_and_ended(service, client):
    opened = json_answer({"scopes": ["read"], "expires_at": "2026-01-01T00:00:00Z"}, 201)
    opened.headers["set-cookie"] = "jukebox_session=abc; Path=/; HttpOnly; SameSite=Strict"
    service.on("POST", "/session", opened)
    service.on("GET", "/session", json_answer({"scopes": ["read"]}))
    service.on("DELETE", "/session", Answer(b"", 204, {"content-length": "0"}))
    assert client.open_session().scopes == ["read"]
    client.get_session()
    client.close_session()
    assert service.asked("GET", "/session")[0]["cookie"] == "jukebox_session=abc"


def test_a_take_is_fetched_under_the_name_that_is_given(service, client, tmp_path):
    made = models.Job.model_validate(job("succeeded", outputs=[output(SOUND)]))
    service.on("GET", "/jobs/job_1/audio", Answer(SOUND, 200, {"etag": '"1"'}))
    path = client.download_audio(made, tmp_path / "song.flac", format="flac")
    assert path.read_bytes() == SOUND
    assert "format=flac" in service.requests[-1][1]
    with pytest.raises(FileExistsError):
        client.download_audio(made, path, format="flac")
    client.download_audio(made, path, format="flac", overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["song.flac"]


def test_a_file_is_described_without_being_sent(service, client):
    head = Answer(SOUND, 200, {"etag": '"abc"', "content-type": "audio/wav"})
    service.on("HEAD", "/jobs/job_1/audio", head)
    found = client.check_audio("job_1", level="top")
    assert (found.media_type, found.num_bytes, found.etag) == ("audio/wav", len(SOUND), '"abc"')


def test_a_change_of_a_job_sends_what_was_named(service, client):
    service.script["PATCH", "/jobs/job_1"] = json_answer(job(title="Rain"))
    assert client.update_job("job_1", title="Rain", notes=None).title == "Rain"
    assert json.loads(service.requests[-1][3]) == {"title": "Rain", "notes": None}


def test_a_service_that_is_not_there_is_neither_alive_nor_ready(service, client):
    service.on("GET", "/healthz", json_answer({"status": "ok"}))
    service.on("GET", "/readyz", problem(503, "store_unavailable", "no store"))
    assert client.is_alive()
    assert not client.is_ready()
