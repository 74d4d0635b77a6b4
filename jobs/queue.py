"""Messages from the API to the workers: a job id and a stage, a hint and nothing more.

The Celery application is made here because sender and workers must agree on every setting.
"""

import ssl
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import kombu.exceptions
import redis
import redis.connection
from celery import Celery
from kombu.entity import Exchange, Queue

from jobs.errors import QueueUnavailable
from jobs.record.job import Stage
from jobs.store.connection import connect
from jobs.store.sentinel_url import SentinelUrl, is_sentinel_url

RUN_STAGE_TASK = "jukebox.run_stage"

# A message is acknowledged as soon as a thread has it. One whose worker died or was cut off in
# between comes again after this time, and finds its job held.
_UNACKNOWLEDGED_SEC = 30
# A sender must hear within seconds that the server is away. Workers wait for messages one second
# at a time (BRPOP), so theirs is longer.
_PUBLISH_TIMEOUT_SEC = 1.0
_WORKER_TIMEOUT_SEC = 5.0
_PUBLISH_OPTIONS = {
    "socket_timeout": _PUBLISH_TIMEOUT_SEC,
    "socket_connect_timeout": _PUBLISH_TIMEOUT_SEC,
    # `retry=False` does not reach the first connection, which would try three times.
    "max_retries": 0,
}


class JobQueue(Protocol):
    """Hands (job id, stage) to some worker that serves the stage."""

    def publish(self, job_id: str, stage: Stage) -> None:
        """Send one message, without waiting for long. Raises QueueUnavailable."""

    def depth(self, stage: Stage) -> int:
        """Messages that no worker has taken yet. Raises QueueUnavailable."""


class CeleryJobQueue:
    """Implements `JobQueue`: one Celery queue per stage. Made for threads."""

    def __init__(self, redis_url: str) -> None:
        self._celery = celery_app(redis_url)
        self._celery.conf.broker_transport_options |= _PUBLISH_OPTIONS
        self._redis = connect(redis_url)

    def publish(self, job_id: str, stage: Stage) -> None:
        """Send one message, once: the reaper sends again what was lost. Raises QueueUnavailable."""
        try:
            self._celery.send_task(
                RUN_STAGE_TASK, args=[job_id, stage.value], queue=queue_name(stage), retry=False
            )
        except (kombu.exceptions.KombuError, redis.RedisError, OSError) as error:
            raise QueueUnavailable(f"the message queue cannot be used now: {error}") from error

    def depth(self, stage: Stage) -> int:
        """Messages that no worker has taken yet. Raises QueueUnavailable."""
        # A queue without priorities is one list, named like the queue.
        try:
            return int(self._redis.llen(queue_name(stage)))
        except redis.RedisError as error:
            raise QueueUnavailable(f"the message queue cannot be used now: {error}") from error

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        self._celery.close()
        self._redis.close()


def queue_name(stage: Stage) -> str:
    """The Celery queue of one stage."""
    return f"jukebox.{stage.value}"


def _queue(stage: Stage) -> Queue:
    # Without an exchange of its own, each queue would be bound to that of the default queue, and
    # one message could go to all of them.
    name = queue_name(stage)
    return Queue(name, Exchange(name), routing_key=name)  # type: ignore[no-untyped-call]


def celery_app(redis_url: str) -> Celery:
    """A Celery application with every setting that matters; it connects when first used.

    The message is acknowledged when a worker takes it: it is a hint, and the job's lease, not the
    queue, notices a worker that dies. So nothing here is meant to deliver a message twice.
    """
    app = Celery("jukebox", broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        task_queues=[_queue(stage) for stage in Stage],
        task_default_queue=queue_name(Stage.TOP),
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # Threads share the one engine of the process. A message waits in Redis, where another
        # worker can take it, until a thread is free.
        worker_pool="threads",
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A song goes on while the connection is away; the default changes in Celery 6.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_use_ssl=_tls_options(redis_url),
        broker_transport_options={
            "visibility_timeout": _UNACKNOWLEDGED_SEC,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": _WORKER_TIMEOUT_SEC,
            "socket_connect_timeout": _WORKER_TIMEOUT_SEC,
            "socket_keepalive": True,
            **_sentinel_options(redis_url),
        },
    )
    return app


def broker_url(redis_url: str) -> str:
    """`redis_url` in the spelling of Celery, which names unix sockets and databases differently.

    `unix:///data/redis.sock?db=1` becomes `redis+socket:///data/redis.sock?virtual_host=1`.
    Raises ValueError for what is no URL of Redis.
    """
    if is_sentinel_url(redis_url):
        place = SentinelUrl.parse(redis_url)
        account = _account(place.username, place.password)
        return ";".join(
            f"sentinel://{account}{host}:{port}/{place.database}" for host, port in place.sentinels
        )
    parts: dict[str, Any] = dict(redis.connection.parse_url(redis_url))  # type: ignore[no-untyped-call]
    database = str(parts.get("db", 0))
    account = _account(parts.get("username"), parts.get("password"))
    if "path" in parts:
        query = urlencode({"virtual_host": database})
        return f"redis+socket://{account}{quote(parts['path'])}?{query}"
    scheme = redis_url.partition("://")[0]
    address = f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"
    return f"{scheme}://{account}{address}/{database}"


def _account(username: str | None, password: str | None) -> str:
    if password is None:
        return ""
    return f"{quote(username or '', safe='')}:{quote(password, safe='')}@"


def _tls_options(redis_url: str) -> dict[str, Any] | None:
    if redis_url.startswith("sentinels://"):
        ca_certs = SentinelUrl.parse(redis_url).ca_certs
    elif redis_url.startswith("rediss://"):
        ca_certs = redis.connection.parse_url(redis_url).get("ssl_ca_certs")  # type: ignore[no-untyped-call]
    else:
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} | ({"ssl_ca_certs": ca_certs} if ca_certs else {})


def _sentinel_options(redis_url: str) -> dict[str, Any]:
    if not is_sentinel_url(redis_url):
        return {}
    place = SentinelUrl.parse(redis_url)
    return {"master_name": place.service, "sentinel_kwargs": place.sentinel_options}
