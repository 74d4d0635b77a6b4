"""Messages are written with the change that they tell, and each has one sender at a time."""

from dataclasses import replace

import pytest
import redis

from api.views.service_schemas import WebhookBody
from jobs.errors import StoreUnavailable
from jobs.record.job import TERMINAL_STATUSES, Stage
from jobs.record.webhook_messages import ENDINGS, WEBHOOK_EVENTS, Outcome, body_of
from jobs.store import JobStore
from jobs.webhooks.outbox import RedisWebhookOutbox
from tests.jobs.records import (
    ERROR,
    METRICS,
    SHORT_LEASE_SEC,
    created,
    let_the_lease_end,
    new_job,
    take,
)

pytestmark = pytest.mark.redis

URL = "https://studio.example/hooks"


@pytest.fixture
def outbox(clean_redis_url, clock):
    outbox = RedisWebhookOutbox(clean_redis_url)
    yield outbox
    outbox.close()


def claim(outbox, *, limit=100, lease_sec=300.0, per_owner=100, held=()):
    return outbox.claim(limit=limit, lease_sec=lease_sec, per_owner=per_owner, held=dict(held))


def types(outbox):
    return [message.type for message in claim(outbox)]


def canceled(store, **request):
    """A job that is over at once, and so has one message."""
    job = created(store, webhook_url=URL, **request)
    store.request_cancel(job.id)
    return job


def test_a_job_tells_how_it_ended_and_nothing_else_unless_asked(store, outbox):
    job = created(store, webhook_url=URL)
    claimed = take(store, job)
    store.finish_stage(claimed, Stage.MIDDLE, metrics=METRICS, codes_name="c")
    assert claim(outbox) == []
    claimed = take(store, job, Stage.MIDDLE)
    store.fail(claimed, ERROR)
    [message] = claim(outbox)
    assert (message.type, message.status, message.stage) == ("job.failed", "failed", "middle")
    assert (message.job_id, message.url, message.owner) == (job.id, URL, None)
    assert message.error == {"code": ERROR.code, "message": ERROR.message, "retryable": True}
    assert message.created_at == store.get(job.id).completed_at


def test_a_job_tells_everything_it_was_asked_to_in_order(store, outbox):
    job = created(store, webhook_url=URL, webhook_events=WEBHOOK_EVENTS)
    claimed = take(store, job)
    store.finish_stage(claimed, Stage.MIDDLE, metrics=METRICS, codes_name="c")
    claimed = take(store, job, Stage.MIDDLE)
    store.succeed(claimed)
    messages = claim(outbox)
    assert [message.type for message in messages] == ["job.running", "job.output", "job.succeeded"]
    assert messages[1].level == "top"
    assert len({message.id for message in messages}) == 3


def test_what_ended_itself_tells_too(store, outbox, clock):
    canceled(store)
    assert types(outbox) == ["job.canceled"]
    job = created(store, webhook_url=URL)
    for _ in range(3):
        take(store, job, lease_sec=SHORT_LEASE_SEC)
        let_the_lease_end(clock)
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=1.0) is None
    [message] = claim(outbox)
    assert (message.type, message.error["code"]) == ("job.failed", "too_many_crashes")


def test_a_retried_job_tells_its_second_end_as_well(store, outbox):
    job = created(store, webhook_url=URL)
    store.fail(take(store, job), ERROR)
    store.retry(job.id)
    store.succeed(take(store, job))
    first, second = claim(outbox)
    assert (first.type, second.type) == ("job.failed", "job.succeeded")
    assert second.error is None
    assert first.id != second.id


def test_a_job_without_a_url_writes_nothing(store, outbox):
    store.request_cancel(created(store).id)
    assert outbox.figures().pending == 0


def test_events_that_were_not_chosen_are_not_told(store, outbox):
    canceled(store, webhook_events=("job.succeeded",))
    assert outbox.figures().pending == 0


def test_the_message_of_a_deleted_job_is_sent_all_the_same(store, outbox):
    job = canceled(store)
    store.delete(job.id)
    assert types(outbox) == ["job.canceled"]


def test_a_claimed_message_is_nobody_else_s_until_the_lease_ends(
    store, outbox, clean_redis_url, clock
):
    canceled(store)
    [mine] = claim(outbox, lease_sec=SHORT_LEASE_SEC)
    assert claim(outbox) == []
    let_the_lease_end(clock)
    [theirs] = claim(outbox)
    assert theirs.id == mine.id
    assert (mine.attempt, theirs.attempt) == (1, 2)
    outbox.settle(mine, Outcome.DELIVERED)
    outbox.release(mine)
    assert outbox.figures().pending == 1
    assert outbox.figures().attempts[Outcome.DELIVERED] == 0
    outbox.settle(theirs, Outcome.DELIVERED)
    assert outbox.figures().pending == 0


def test_a_delivered_message_leaves_nothing_behind(store, outbox, clean_redis_url):
    canceled(store)
    [message] = claim(outbox)
    outbox.settle(message, Outcome.DELIVERED)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        assert client.keys("jukebox:webhook:*") == []
    assert outbox.figures().attempts[Outcome.DELIVERED] == 1


def test_a_failed_message_comes_again_after_its_wait_with_the_same_id_and_body(
    store, outbox, clock
):
    canceled(store)
    [first] = claim(outbox)
    outbox.settle(first, Outcome.RETRIED, retry_in_sec=20.0)
    assert claim(outbox) == []
    clock.pass_time(21.0)
    [second] = claim(outbox)
    assert (second.id, second.attempt) == (first.id, 2)
    assert body_of(second, "") == body_of(first, "")


def test_a_message_that_was_given_back_untried_has_lost_no_attempt(store, outbox):
    canceled(store)
    [message] = claim(outbox)
    outbox.release(message)
    [again] = claim(outbox)
    assert again.attempt == 1


def test_a_receiver_that_is_gone_hears_no_more_of_this_job(store, outbox):
    job = created(store, webhook_url=URL, webhook_events=WEBHOOK_EVENTS)
    claimed = take(store, job)
    [running] = claim(outbox)
    outbox.settle(running, Outcome.GONE)
    store.succeed(claimed)
    assert outbox.figures().pending == 0
    assert store.get(job.id).request.webhook_url == URL


def test_an_owner_with_slow_receivers_holds_up_nobody_else(clean_redis_url, outbox):
    store = JobStore(clean_redis_url)
    for owner in ["slow"] * 250 + ["quick"]:
        job = new_job(webhook_url=URL)
        object.__setattr__(job, "owner", owner)
        store.create(job)
        store.request_cancel(job.id)
    messages = claim(outbox, limit=8, per_owner=4)
    assert [message.owner for message in messages] == ["slow"] * 4 + ["quick"]
    assert claim(outbox, limit=8, per_owner=4, held={"slow": 4}) == []
    assert len(claim(outbox, limit=8, per_owner=4, held={"slow": 3})) == 1
    store.close()


def test_messages_that_were_forgotten_after_a_week_are_taken_off_the_list(
    store, outbox, clean_redis_url
):
    for _ in range(3):
        canceled(store)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        *gone, kept = sorted(client.keys("jukebox:webhook:*"))
        assert client.ttl(kept) > 6 * 24 * 3600
        client.delete(*gone)
    assert len(claim(outbox)) == 1
    assert outbox.figures().pending == 1


def test_a_killed_server_forgets_no_message(redis_server):
    store, outbox = JobStore(redis_server.url), RedisWebhookOutbox(redis_server.url)
    canceled(store)
    redis_server.kill()
    with pytest.raises(StoreUnavailable):
        outbox.figures()
    redis_server.start()
    assert outbox.figures().pending == 1
    store.close()
    outbox.close()


def test_the_body_names_the_job_and_where_it_is_found(store, outbox):
    job = canceled(store)
    [message] = claim(outbox)
    body = body_of(message, "https://songs.example/api/").decode()
    assert f'"self":"https://songs.example/api/jobs/{job.id}"' in body
    assert f'"self":"/jobs/{job.id}"' in body_of(message, "").decode()
    assert "Sawtooths" not in body
    WebhookBody.model_validate_json(body)


def test_every_status_that_ends_a_job_is_told_by_default():
    assert set(ENDINGS) == {f"job.{status}" for status in TERMINAL_STATUSES}
    assert set(ENDINGS) < set(WEBHOOK_EVENTS)


def test_a_thousand_messages_of_one_slow_receiver_hide_no_other_message(store, outbox):
    for _ in range(1100):
        slow = store.create(replace(new_job(webhook_url=URL), owner="slow"))
        store.request_cancel(slow.id)
    late = store.create(replace(new_job(webhook_url=URL), owner="other"))
    store.request_cancel(late.id)
    held = {"slow": 1}
    found = [
        m.job_id
        for _ in range(2)
        for m in outbox.claim(limit=100, lease_sec=300.0, per_owner=1, held=held)
    ]
    assert late.id in found
