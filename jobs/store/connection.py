"""Connections to Redis, and the one place where its errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.retry
import redis.sentinel

from jobs.errors import StoreUnavailable
from jobs.store.sentinel_url import SentinelUrl, is_sentinel_url

CONNECT_TIMEOUT_SEC = 1.0
REPLY_TIMEOUT_SEC = 2.0
MAX_CONNECTIONS = 4096

_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_connect_timeout": CONNECT_TIMEOUT_SEC,
    "max_connections": MAX_CONNECTIONS,
    # Whether a lost command took effect is unknown, so it is the caller who decides to send again.
    "retry_on_error": [],
    # With protocol 3 the client does not notice that a pooled connection is dead (redis-py 8.1).
    "protocol": 2,
}

_SENTINEL_OPTIONS: dict[str, Any] = {
    "socket_timeout": CONNECT_TIMEOUT_SEC,
    "socket_connect_timeout": CONNECT_TIMEOUT_SEC,
    "protocol": 2,
}
REPLICATION_TIMEOUT_MS = 1000


def replicas_to_wait_for(redis_url: str) -> int:
    """Servers besides the master that must have a write before it counts."""
    return SentinelUrl.parse(redis_url).replicas if is_sentinel_url(redis_url) else 0


def connect(redis_url: str) -> redis.Redis:
    """A thread-safe client that answers or raises within seconds. Connects when first used.

    Of servers that sentinels watch it asks them for the master with every new connection.
    """
    options = _OPTIONS | {
        "socket_timeout": REPLY_TIMEOUT_SEC,
        "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    }
    if not is_sentinel_url(redis_url):
        return redis.Redis.from_url(redis_url, **options)
    place = SentinelUrl.parse(redis_url)
    sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        place.sentinels, sentinel_kwargs=_SENTINEL_OPTIONS | place.sentinel_options
    )
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        place.service, **options, **place.server_options
    )
    return client


def connect_async(redis_url: str) -> redis.asyncio.Redis:
    """A client for one event loop. Its calls may block for long, so the caller limits them."""
    options = _OPTIONS | {
        "socket_timeout": None,
        "retry": redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
    }
    if not is_sentinel_url(redis_url):
        return redis.asyncio.Redis.from_url(redis_url, **options)
    place = SentinelUrl.parse(redis_url)
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        list(place.sentinels), sentinel_kwargs=_SENTINEL_OPTIONS | place.sentinel_options
    )
    client: redis.asyncio.Redis = sentinel.master_for(
        place.service, **options, **place.server_options
    )
    return client


@contextmanager
def errors_as_store_unavailable() -> Iterator[None]:
    """Translate what redis-py raises. Raises StoreUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(f"the job store cannot be used now: {error}") from error
