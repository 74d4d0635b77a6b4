"""A store, a queue, files and the tiny model: everything a worker process needs."""

from pathlib import Path

import pytest
import redis

from jukebox_core.tiny import write_tiny
from tests.worker.jobs_and_processes import Service, running_worker
from worker.app import build_parts
from worker.device.engine_thread import EngineThread
from worker.settings import WorkerSettings


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder / "tiny")
    return folder


@pytest.fixture
def service(clean_redis_url, tmp_path, models_dir) -> Service:
    """Without a worker."""
    return Service(redis_url=clean_redis_url, data_dir=tmp_path, models_dir=models_dir)


@pytest.fixture
def worker(service):
    """The parts of a worker, with a running engine and no Celery."""
    parts = build_parts(
        WorkerSettings(
            redis_url=service.redis_url,
            data_dir=service.data_dir,
            models_dir=service.models_dir,
            device="cpu",
            worker_name="me",
            lease_sec=60.0,
            heartbeat_sec=0.1,
        )
    )
    parts.engine.start()
    yield parts
    parts.engine.stop()
    parts.engine.join(60)


@pytest.fixture
def engine(shelf):
    """A running engine thread with the models of a test file's own shelf."""
    thread = EngineThread(shelf, on_broken=lambda: None)
    thread.start()
    yield thread
    thread.stop()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def served(redis_url, tmp_path_factory, models_dir):
    """With one worker that all tests of a module share; it must not be stopped."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        client.flushall()
    data_dir = tmp_path_factory.mktemp("data")
    service = Service(redis_url=redis_url, data_dir=data_dir, models_dir=models_dir)
    with running_worker(service):
        yield service
