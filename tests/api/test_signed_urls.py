"""URLs for `<audio>` and `EventSource`: one resource of one job, for an hour, if the key lives."""

import re
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from api.access import signed_urls
from api.access.signed_urls import VALID_SEC, signed_key_id, signer_for, take_signature
from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.test_process import running
from tests.api.test_revocation import SOON_SEC

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

KINDS = ("audio", "live", "codes", "alignment", "events", "peaks", "spectrogram", "archive")


@pytest.fixture
def keys(service: Service) -> ApiKeyFile:
    return ApiKeyFile(service.data_dir)


def bearer(keys: ApiKeyFile, name: str, *scopes: Scope) -> dict[str, str]:
    _, token = keys.create(name, scopes or (Scope.SUBMIT, Scope.READ))
    return {"Authorization": f"Bearer {token}"}


async def finished(service: Service, headers: dict[str, str]) -> dict[str, Any]:
    """A job that has been sung, as its owner sees it."""
    response = await service.client.post("/jobs", json=song(), headers=headers)
    job = response.json()
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"], headers=headers)).json()


async def test_signed_urls_need_no_key(service: Service, keys):
    alice = bearer(keys, "alice")
    job = await finished(service, alice)
    signed = job["urls"]["signed"]
    assert signed.keys() == {*KINDS, "expires_at"}
    for kind in KINDS:
        with_key = await service.client.get(job["urls"][kind], headers=alice)
        without = await service.client.get(signed[kind])
        assert without.status_code == with_key.status_code, kind
        if kind != "events":
            assert without.content == with_key.content, kind
        assert (await service.client.get(job["urls"][kind])).status_code == 401
    for output in job["outputs"]:
        response = await service.client.get(output["signed_url"])
        assert response.headers["etag"] == f'"{output["sha256"]}"'
        assert (await service.client.head(output["signed_url"])).status_code == 200
    other_format = await service.client.get(signed["audio"] + "&format=flac&sample=0")
    assert other_format.headers["content-type"] == "audio/flac"


async def test_ranges_and_validators_work_with_signed_urls(service: Service, keys):
    job = await finished(service, bearer(keys, "alice"))
    url = job["outputs"][0]["signed_url"]
    part = await service.client.get(url, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    etag = part.headers["etag"]
    again = await service.client.get(url, headers={"If-None-Match": etag})
    assert again.status_code == 304


async def test_a_signature_is_for_one_kind_of_resource_of_one_job(service: Service, keys):
    alice = bearer(keys, "alice")
    one, two = await finished(service, alice), await finished(service, alice)
    for kind in KINDS:
        signature = urlsplit(one["urls"]["signed"][kind]).query
        others = [one["urls"][other] for other in KINDS if other != kind]
        others += [two["urls"][kind], one["urls"]["self"], one["urls"]["children"], "/jobs"]
        for path in others:
            response = await service.client.get(f"{path}?{signature}")
            assert_problem(response, 401, "signature_invalid")
        for method in ("POST", "DELETE"):
            response = await service.client.request(method, f"{one['urls']['self']}?{signature}")
            assert_problem(response, 401, "signature_invalid")


async def test_a_signature_that_was_changed_is_refused(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    url = (await finished(service, alice))["urls"]["signed"]["audio"]
    path, _, signature = url.partition("?signature=")
    key_id, expires_at, mac = signature.split(".")
    bob_id = keys.find(bob["Authorization"].split()[1]).id
    changed = [
        f"{key_id}.{int(expires_at) + 300}.{mac}",
        f"{bob_id}.{expires_at}.{mac}",
        f"{key_id}.{expires_at}.{'A' * 43}",
        f"{key_id}.{expires_at}.{mac}x",
        f"{key_id}.{expires_at}",
        "",
        "%00",
        "x" * 3000,
        signature + f"&signature={signature}",
    ]
    for other in changed:
        response = await service.client.get(f"{path}?signature={other}")
        assert_problem(response, 401, "signature_invalid")
    assert (await service.client.get(url)).status_code == 200


async def test_a_signed_url_expires(service: Service, keys, monkeypatch):
    job = await finished(service, bearer(keys, "alice"))
    url = job["urls"]["signed"]["audio"]
    now = time.time()
    monkeypatch.setattr(signed_urls.time, "time", lambda: now + VALID_SEC - 1)
    assert (await service.client.get(url)).status_code == 200
    monkeypatch.setattr(signed_urls.time, "time", lambda: now + VALID_SEC + 301)
    assert_problem(await service.client.get(url), 401, "signature_expired")


async def test_a_signed_url_ends_with_its_key(service: Service, keys):
    alice, admin = bearer(keys, "alice"), bearer(keys, "root", Scope.ADMIN)
    job = await finished(service, alice)
    as_admin = (await service.client.get(job["urls"]["self"], headers=admin)).json()
    keys.revoke("alice")
    for kind in KINDS:
        response = await service.client.get(job["urls"]["signed"][kind])
        assert_problem(response, 401, "api_key_unknown")
    response = await service.client.get(as_admin["urls"]["signed"]["audio"])
    assert response.status_code == 200, "this one was signed for another key"


async def test_a_url_that_was_signed_for_another_service_is_refused(service: Service, keys):
    job = await finished(service, bearer(keys, "alice"))
    path = job["urls"]["audio"]
    signer = signer_for(job["owner"], bytes(32))
    response = await service.client.get(f"{path}?{signer.query(path)}")
    assert_problem(response, 401, "signature_invalid")


async def test_a_signed_url_leads_to_no_other(service: Service, keys):
    job = await finished(service, bearer(keys, "alice"))
    stream = await service.client.get(job["urls"]["signed"]["events"])
    assert stream.status_code == 200
    assert '"signed":null' in stream.text.replace(" ", "")
    assert "signature=" not in stream.text


async def test_who_may_not_read_gets_no_signed_urls(service: Service, keys):
    writer = bearer(keys, "w", Scope.SUBMIT)
    response = await service.client.post("/jobs", json=song(), headers=writer)
    assert response.json()["urls"]["signed"] is None


async def test_where_no_key_is_needed_nothing_is_signed(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    job = (await service.client.get(job["urls"]["self"])).json()
    assert job["urls"]["signed"] is None
    assert job["outputs"][0]["signed_url"] is None
    response = await service.client.get(job["outputs"][0]["url"] + "&signature=old")
    assert response.status_code == 200


async def test_a_page_of_another_site_may_embed_a_signed_url_and_no_other(service: Service, keys):
    alice = bearer(keys, "alice")
    job = await finished(service, alice)
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    response = await service.client.get(job["outputs"][0]["signed_url"], headers=embedded)
    assert response.status_code == 200
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
    response = await service.client.get(job["outputs"][0]["url"], headers=embedded | alice)
    assert_problem(response, 403, "origin_refused")


async def test_no_word_of_a_signature_opens_a_service_without_keys_to_other_pages(service: Service):
    job = await service.post()
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    url = f"{job['urls']['audio']}?signature=x"
    assert_problem(await service.client.get(url, headers=embedded), 403, "origin_refused")


async def test_the_urls_of_a_job_stay_the_same_for_a_while(service: Service, keys, monkeypatch):
    job = await finished(service, bearer(keys, "alice"))
    secret = service.store.url_secret()
    now = 1_800_000_000.0
    monkeypatch.setattr(signed_urls.time, "time", lambda: now)
    first = signer_for(job["owner"], secret)
    assert VALID_SEC <= first.expires_at - now <= VALID_SEC + 300
    monkeypatch.setattr(signed_urls.time, "time", lambda: first.expires_at - VALID_SEC - 1.0)
    assert signer_for(job["owner"], secret) == first
    monkeypatch.setattr(signed_urls.time, "time", lambda: first.expires_at - VALID_SEC + 1.0)
    assert signer_for(job["owner"], secret).expires_at == first.expires_at + 300


async def test_all_processes_of_a_service_know_each_others_signatures(
    service: Service, keys, models_dir
):
    job = await finished(service, bearer(keys, "alice"))
    async with serving(service.redis_url, models_dir, service.data_dir) as other:
        response = await other.client.get(job["urls"]["signed"]["audio"])
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"signature=a", b""),
        (b"sample=0&signature=a&level=top", b"sample=0&level=top"),
        (b"%73ignature=a&x=1", b"x=1"),
        (b"signature", b""),
        (b"signature=a&signature=b", b""),
        (b"signatures=a", b"signatures=a"),
    ],
)
def test_a_signature_is_taken_out_of_the_query(query: bytes, left: bytes):
    scope: dict[str, Any] = {"query_string": query}
    take_signature(scope)
    assert scope["query_string"] == left


def test_a_signature_of_a_longer_path_is_no_signature_of_a_shorter_one():
    path = "/jobs/job_" + "a" * 32 + "/audio"
    signer = signer_for("0123456789abcdef", bytes(32))
    signature = signer.query(path).partition("=")[2]
    assert signed_key_id(signature, path, bytes(32)) == "0123456789abcdef"


@pytest.fixture
def api(clean_redis_url, models_dir, tmp_path):
    keys = ApiKeyFile(tmp_path)
    _, token = keys.create("alice", (Scope.SUBMIT, Scope.READ))
    with running(clean_redis_url, models_dir, tmp_path) as process:
        process.keys = keys
        process.alice = {"Authorization": f"Bearer {token}"}
        yield process


def test_a_stream_by_a_signed_url_ends_soon_after_its_key_is_revoked(api):
    job = api.client.post("/jobs", json=song(), headers=api.alice).json()
    has_begun, ended = threading.Event(), threading.Event()

    def listen() -> None:
        with api.client.stream("GET", job["urls"]["signed"]["events"]) as response:
            for _ in response.iter_lines():
                has_begun.set()
        ended.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert has_begun.wait(SOON_SEC)
    api.keys.revoke("alice")
    assert ended.wait(SOON_SEC)
    listener.join()


def test_no_signature_is_in_the_log(api):
    job = api.client.post("/jobs", json=song(), headers=api.alice).json()
    api.worker.sing(job["id"])
    signed = api.client.get(job["urls"]["self"], headers=api.alice).json()["urls"]["signed"]
    urls = [signed["audio"], signed["codes"] + "x", signed["audio"] + "&level=treble"]
    urls += [signed["audio"].replace("signature", "%73ignature"), signed["audio"] + "&a=b&a=c"]
    urls += [signed["audio"].replace("/audio?", "/audio/?"), "/nothing?" + urlsplit(urls[0]).query]
    macs = {value for url in urls for value in re.findall(r"[A-Za-z0-9_-]{43}", url)}
    assert macs
    statuses = [api.client.get(url).status_code for url in urls]
    assert statuses == [200, 401, 422, 200, 422, 401, 401]
    log = api.log.read_text()
    assert log.count("/audio") >= 3, "requests are logged"
    assert "signature" not in log
    assert not any(mac in log for mac in macs)
    assert parse_qs(urlsplit(signed["audio"]).query).keys() == {"signature"}
