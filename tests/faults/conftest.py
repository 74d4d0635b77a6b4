"""A world for each test, and one without faults for all of them to be compared with."""

import pytest

pytest.register_assert_rewrite("tests.faults.promises", "tests.faults.world")

from tests.faults.promises import Undisturbed  # noqa: E402  (rewritten when imported)
from tests.faults.world import World  # noqa: E402
from tests.fixtures.servers import RedisServer  # noqa: E402


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, models_dir):
    data_dir = tmp_path_factory.mktemp("undisturbed")
    server = RedisServer(data_dir)
    server.start()
    world = World(redis_url=server.url, data_dir=data_dir, models_dir=models_dir, server=server)
    world.worker()
    try:
        yield Undisturbed(world)
    finally:
        world.end()
        server.stop()


@pytest.fixture
def world(redis_server, tmp_path, models_dir):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    world = World(
        redis_url=redis_server.url, data_dir=data_dir, models_dir=models_dir, server=redis_server
    )
    try:
        yield world
    finally:
        world.end()
