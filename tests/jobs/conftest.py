"""A store on the shared server, empty before each test, whose clock the test may put forward."""

from collections.abc import Iterator

import pytest

from jobs.store import JobStore
from tests.fixtures.servers import ServerClock


@pytest.fixture
def store(clean_redis_url: str, clock: ServerClock) -> Iterator[JobStore]:
    store = JobStore(clean_redis_url)
    yield store
    store.close()
