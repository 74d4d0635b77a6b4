"""A store on the shared server, empty before each test."""

from collections.abc import Iterator

import pytest

from jobs.redis_store import RedisJobStore


@pytest.fixture
def store(clean_redis_url: str) -> Iterator[RedisJobStore]:
    store = RedisJobStore(clean_redis_url)
    yield store
    store.close()
