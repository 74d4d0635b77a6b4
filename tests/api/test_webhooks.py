"""Naming a webhook in a job, where the operator turned them on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.api_keys import ApiKeyFile, Scope
from jobs.record.webhook_messages import ENDINGS, Outcome
from jobs.webhooks.outbox import RedisWebhookOutbox
from jobs.webhooks.signing import FILE_NAME, WebhookSecrets
from tests.api.conftest import Service, assert_problem, serving, song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

URL = "https://studio.example/hooks?token=secret"


@pytest.fixture
async def telling(clean_redis_url: str, models_dir: Path, tmp_path: Path) -> AsyncIterator[Service]:
    settings = {"webhooks": "on", "webhook_allowed_hosts": "127.0.0.1:9"}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        yield service


def pending(service: Service) -> int:
    outbox = RedisWebhookOutbox(service.redis_url)
    try:
        return outbox.figures().pending
    finally:
        outbox.close()


async def test_a_job_with_a_webhook_writes_a_message_when_it_is_over(telling: Service):
    job = await telling.post(webhook_url=URL)
    assert job["input"]["webhook_url"] == URL
    assert job["input"]["webhook_events"] == list(ENDINGS)
    assert pending(telling) == 0
    await telling.client.post(job["urls"]["cancel"])
    assert pending(telling) == 1


async def test_a_job_chooses_what_is_told(telling: Service):
    job = await telling.post(webhook_url=URL, webhook_events=["job.running"])
    await telling.client.post(job["urls"]["cancel"])
    assert pending(telling) == 0


async def test_input_can_be_sent_again(telling: Service):
    job = await telling.post(webhook_url=URL)
    again = await telling.client.post("/jobs", json=job["input"])
    assert again.status_code == 202
    assert again.json()["input"] == job["input"]


async def test_a_song_that_goes_on_tells_nobody_unless_asked(telling: Service):
    job = await telling.post(webhook_url=URL, levels=["top"])
    claim = telling.worker.claim(job["id"])
    telling.worker.finish_level(claim)
    await telling.client.post(job["urls"]["cancel"])
    body = {"mode": "continue", "parent_id": job["id"], "duration_seconds": 5}
    response = await telling.client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    assert response.json()["input"]["webhook_url"] is None
    response = await telling.client.post("/jobs", json={**body, "webhook_url": URL})
    assert response.json()["input"]["webhook_url"] == URL


async def test_off_means_off(service: Service):
    response = await service.client.post("/jobs", json=song(webhook_url=URL))
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/webhook_url"
    assert "disabled" in problem["detail"]
    assert service.left_behind() == []
    assert_problem(await service.client.get("/webhooks/secret"), 404, "webhooks_off")
    assert not (service.data_dir / FILE_NAME).exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://studio.example/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://redis:6379/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:word@studio.example/",
        "http://127.0.0.1:10/",
        "javascript:alert(1)",
        "https://studio.example/\r\nX: y",
        "",
        "https://" + "a" * 2000,
    ],
)
async def test_a_url_that_leads_inside_or_nowhere_is_refused(telling: Service, url: str):
    response = await telling.client.post("/jobs", json=song(webhook_url=url))
    problem = assert_problem(response, 422, "invalid_request")
    assert [error["pointer"] for error in problem["errors"]] == ["/webhook_url"]
    assert telling.left_behind() == []


async def test_a_host_that_the_operator_named_is_taken(telling: Service):
    await telling.post(webhook_url="http://127.0.0.1:9/hooks")


@pytest.mark.parametrize("events", [[], ["job.sung"], "job.failed", ["job.failed"] * 7])
async def test_events_that_there_are_not_are_refused(telling: Service, events: object):
    response = await telling.client.post("/jobs", json=song(webhook_url=URL, webhook_events=events))
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["pointer"].startswith("/webhook_events")


async def test_the_same_key_with_another_webhook_is_another_request(telling: Service):
    headers = {"Idempotency-Key": "k"}
    await telling.client.post("/jobs", json=song(webhook_url=URL), headers=headers)
    other = song(webhook_url="https://studio.example/other")
    response = await telling.client.post("/jobs", json=other, headers=headers)
    assert_problem(response, 422, "idempotency_key_reused")


async def test_each_key_is_told_its_own_secret(telling: Service):
    without = (await telling.client.get("/webhooks/secret")).json()
    assert without["secret"] == WebhookSecrets(telling.data_dir).of(None)[0]
    keys, found = ApiKeyFile(telling.data_dir), {}
    for name in ("alice", "bob"):
        key, token = keys.create(name, [Scope.READ])
        headers = {"Authorization": f"Bearer {token}"}
        response = await telling.client.get("/webhooks/secret", headers=headers)
        assert response.headers["cache-control"] == "no-store"
        found[name] = response.json()["secret"]
        assert found[name] == WebhookSecrets(telling.data_dir).of(key.id)[0]
    assert len({without["secret"], *found.values()}) == 3
    assert (await telling.client.get("/webhooks/secret")).status_code == 401


async def test_after_a_change_the_secret_before_is_told_too(telling: Service):
    first = (await telling.client.get("/webhooks/secret")).json()
    assert first["previous_secret"] is None
    WebhookSecrets(telling.data_dir).rotate()
    second = (await telling.client.get("/webhooks/secret")).json()
    assert second["previous_secret"] == first["secret"]


async def test_the_message_is_signed_for_whoever_asked_for_the_job(telling: Service):
    key, token = ApiKeyFile(telling.data_dir).create("alice", [Scope.SUBMIT])
    headers = {"Authorization": f"Bearer {token}"}
    response = await telling.client.post("/jobs", json=song(webhook_url=URL), headers=headers)
    await telling.client.post(response.json()["urls"]["cancel"], headers=headers)
    outbox = RedisWebhookOutbox(telling.redis_url)
    [message] = outbox.claim(limit=1, lease_sec=1.0, per_owner=1, held={})
    outbox.close()
    assert message.owner == key.id


async def test_the_document_describes_what_a_receiver_is_sent(service: Service):
    document = (await service.client.get("/openapi.json")).json()
    [operation] = [methods["post"] for methods in document["webhooks"].values()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    assert {"204", "410", "default"} <= set(operation["responses"])
    assert "/job" not in document["paths"]
    assert (await service.client.post("/job", json={})).status_code == 404


async def test_figures_tell_how_webhooks_fare(telling: Service):
    job = await telling.post(webhook_url=URL)
    await telling.client.post(job["urls"]["cancel"])
    outbox = RedisWebhookOutbox(telling.redis_url)
    [message] = outbox.claim(limit=1, lease_sec=1.0, per_owner=1, held={})
    outbox.settle(message, Outcome.RETRIED, retry_in_sec=60.0)
    outbox.close()
    page = (await telling.client.get("/metrics")).text
    assert "jukebox_webhooks_pending 1.0" in page
    assert 'jukebox_webhook_deliveries_total{outcome="retried"} 1.0' in page
    assert 'jukebox_webhook_deliveries_total{outcome="delivered"} 0.0' in page
