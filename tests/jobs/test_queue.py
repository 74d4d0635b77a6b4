"""Messages reach their queue, and a server that is away is noticed at once."""

import json
import time
from base64 import b64decode

import pytest
import redis

from jobs.errors import QueueUnavailable
from jobs.queue import CeleryJobQueue, broker_url, celery_app, queue_name
from jobs.record.job import Stage, new_job_id
from jobs.store import JobStore

FAST_SEC = 60.0
"""A generous limit for a busy machine: without a timeout of its own a call would never end."""


@pytest.fixture
def queue(clean_redis_url):
    queue = CeleryJobQueue(clean_redis_url)
    yield queue
    queue.close()


@pytest.fixture
def own_queue(redis_server):
    queue = CeleryJobQueue(redis_server.url)
    yield queue
    queue.close()


@pytest.mark.redis
def test_each_stage_has_a_queue_of_its_own(queue):
    queue.publish(new_job_id(), Stage.TOP)
    queue.publish(new_job_id(), Stage.TOP)
    queue.publish(new_job_id(), Stage.RENDER)
    assert {stage: queue.depth(stage) for stage in Stage} == {
        Stage.TOP: 2,
        Stage.MIDDLE: 0,
        Stage.BOTTOM: 0,
        Stage.RENDER: 1,
    }


@pytest.mark.redis
def test_a_message_carries_the_id_and_the_stage_and_nothing_else(queue, clean_redis_url):
    job_id = new_job_id()
    queue.publish(job_id, Stage.MIDDLE)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        [text] = client.lrange(queue_name(Stage.MIDDLE), 0, -1)
    message = json.loads(text)
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "jukebox.run_stage"
    assert json.loads(b64decode(message["body"]))[:2] == [[job_id, "middle"], {}]


@pytest.mark.redis
def test_a_worker_takes_messages_in_order(queue, clean_redis_url):
    job_ids = [new_job_id() for _ in range(3)]
    for job_id in job_ids:
        queue.publish(job_id, Stage.TOP)
    taken = []
    with celery_app(clean_redis_url) as app, app.connection_for_read() as connection:
        channel = connection.default_channel
        while message := channel.basic_get(queue_name(Stage.TOP), no_ack=True):
            taken.append(message.decode()[0][0])
    assert taken == job_ids
    assert queue.depth(Stage.TOP) == 0


@pytest.mark.redis
def test_a_message_goes_to_one_queue_also_when_workers_have_declared_theirs(queue, clean_redis_url):
    with celery_app(clean_redis_url) as app, app.connection_for_read() as connection:
        for declared in app.amqp.queues.values():
            declared(connection.default_channel).declare()
    queue.publish(new_job_id(), Stage.TOP)
    queue.publish(new_job_id(), Stage.RENDER)
    assert [queue.depth(stage) for stage in Stage] == [1, 0, 0, 1]


@pytest.mark.redis
def test_messages_survive_an_emptied_server_between_them(queue, clean_redis_url):
    queue.publish(new_job_id(), Stage.TOP)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        client.flushall()
    queue.publish(new_job_id(), Stage.TOP)
    assert queue.depth(Stage.TOP) == 1


@pytest.mark.redis
@pytest.mark.parametrize("used_before", [False, True])
def test_a_dead_server_is_noticed_at_once(redis_server, own_queue, used_before):
    if used_before:
        own_queue.publish(new_job_id(), Stage.TOP)
    redis_server.kill()
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        own_queue.publish(new_job_id(), Stage.TOP)
    with pytest.raises(QueueUnavailable):
        own_queue.depth(Stage.TOP)
    assert time.monotonic() - began < FAST_SEC


@pytest.mark.redis
@pytest.mark.parametrize("used_before", [False, True])
def test_a_hung_server_is_noticed_within_seconds(redis_server, own_queue, used_before):
    if used_before:
        own_queue.publish(new_job_id(), Stage.TOP)
    redis_server.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable):
            own_queue.publish(new_job_id(), Stage.TOP)
        assert time.monotonic() - began < FAST_SEC
    finally:
        redis_server.thaw()


@pytest.mark.redis
def test_messages_wait_through_a_crash_of_the_server(redis_server, own_queue):
    own_queue.publish(new_job_id(), Stage.TOP)
    redis_server.kill()
    redis_server.restart()
    own_queue.publish(new_job_id(), Stage.TOP)
    assert own_queue.depth(Stage.TOP) == 2


@pytest.mark.redis
def test_store_and_queue_share_a_numbered_database(clean_redis_url):
    url = clean_redis_url.replace("db=0", "db=3")
    queue, store = CeleryJobQueue(url), JobStore(url)
    queue.publish(new_job_id(), Stage.TOP)
    assert queue.depth(Stage.TOP) == 1
    queue.close()
    store.close()


@pytest.mark.parametrize(
    ("redis_url", "celery_url"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://:pa%2Fss@redis:6380/2", "redis://:pa%2Fss@redis:6380/2"),
        ("redis://redis:6380?db=4", "redis://redis:6380/4"),
        ("rediss://me:secret@redis/1", "rediss://me:secret@redis:6379/1"),
        ("unix:///data/redis.sock", "redis+socket:///data/redis.sock?virtual_host=0"),
        (
            "unix:///data/my%20redis.sock?db=1",
            "redis+socket:///data/my%20redis.sock?virtual_host=1",
        ),
        ("unix://:secret@/data/r.sock", "redis+socket://:secret@/data/r.sock?virtual_host=0"),
    ],
)
def test_a_redis_url_is_spelled_as_celery_wants_it(redis_url, celery_url):
    assert broker_url(redis_url) == celery_url


@pytest.mark.parametrize("url", ["", "http://localhost", "redis"])
def test_what_is_no_redis_url_is_refused(url):
    with pytest.raises(ValueError, match="redis"):
        broker_url(url)


def test_only_json_is_read():
    assert celery_app("redis://localhost").conf.accept_content == ["json"]
