"""Connections to Redis, and the one place where its errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.retry

from jobs.errors import StoreUnavailable

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


def connect(redis_url: str) -> redis.Redis:
    """A thread-safe client that answers or raises within seconds. Connects when first used."""
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=REPLY_TIMEOUT_SEC,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        **_OPTIONS,
    )


def connect_async(redis_url: str) -> redis.asyncio.Redis:
    """A client for one event loop. Its calls may block for long, so the caller limits them."""
    return redis.asyncio.Redis.from_url(
        redis_url,
        socket_timeout=None,
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
        **_OPTIONS,
    )


@contextmanager
def errors_as_store_unavailable() -> Iterator[None]:
    """Translate what redis-py raises. Raises StoreUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(f"the job store cannot be used now: {error}") from error
