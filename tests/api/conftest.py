"""The service in this process, over a real store; nobody works unless the test does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api.app import create_app
from api.settings import ApiSettings
from jobs.api_keys import ApiKeyFile
from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets
from jobs.queue import CeleryJobQueue
from jobs.store import JobEvent, JobStore
from jobs.store.watcher import JobWatcher
from jukebox_core.models.catalog import ModelCatalog
from tests.api.scripted_worker import ScriptedWorker, files_below


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, kw_only=True)
class Service:
    """The client's end of the service, and the worker's."""

    client: httpx.AsyncClient
    store: JobStore
    watcher: JobWatcher
    queue: CeleryJobQueue
    artifacts: Artifacts
    assets: Assets
    worker: ScriptedWorker
    redis_url: str
    data_dir: Path

    async def post(self, **changes: Any) -> dict[str, Any]:
        """A job that is accepted."""
        response = await self.client.post("/jobs", json=song(**changes))
        assert response.status_code == 202, response.text
        return response.json()

    async def watcher_events(self, job_id: str) -> list[JobEvent]:
        """Everything that has happened to a job."""
        return await self.watcher.events_after(job_id, "0-0", timeout_sec=0.1)

    async def somebody_waits(self, number: int = 1) -> None:
        """Until so many clients wait for events, and have been told how things stand."""
        async with asyncio.timeout(60.0):
            while self.watcher.num_waiting < number or not await asyncio.to_thread(
                waiting_at_the_store, self.redis_url
            ):
                await asyncio.sleep(0.01)

    def store_commands(self) -> int:
        """Commands that the store has had so far."""
        with redis.Redis.from_url(self.redis_url, protocol=2) as client:
            return int(client.info("stats")["total_commands_processed"])

    def left_behind(self) -> list[str]:
        """Every key and every file."""
        with redis.Redis.from_url(self.redis_url, protocol=2) as client:
            keys = [key.decode() for key in client.keys("*")]
        folders = (self.data_dir / "artifacts", self.data_dir / "assets")
        return keys + [str(path) for folder in folders for path in files_below(folder)]


def waiting_at_the_store(redis_url: str) -> int:
    """Connections on which somebody waits for events at this moment."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        return sum("b" in entry["flags"] for entry in client.client_list())


def song(**changes: Any) -> dict[str, Any]:
    """A request that `tiny` can sing; a change to None takes the field away."""
    request = {
        "model": "tiny",
        "artist": "The Sawtooths",
        "genre": "drone",
        "lyrics": "hello",
        "duration_seconds": 10,
        "seed": 7,
        **changes,
    }
    return {name: value for name, value in request.items() if value is not None}


@asynccontextmanager
async def serving(
    redis_url: str,
    models_dir: Path,
    data_dir: Path,
    *,
    bucket: str | None = None,
    patience_sec: float = 60.0,
    **changes: Any,
) -> AsyncIterator[Service]:
    """The service over the store at `redis_url`, with some settings changed.

    Its files are in `data_dir`, or below the URL `bucket`, which is tried for `patience_sec`; then
    `data_dir` is for copies.
    """
    place = {"data_dir": bucket or data_dir, "cache_dir": data_dir / "cache"}
    settings = ApiSettings(redis_url=redis_url, models_dir=models_dir, **place, **changes)
    storage = settings.open_storage(at_most_sec=patience_sec)
    store, watcher = JobStore(redis_url), JobWatcher(redis_url)
    queue, artifacts = CeleryJobQueue(redis_url), storage.artifacts
    assets, catalog = storage.assets, ModelCatalog(models_dir)
    keys = ApiKeyFile(settings.data_dir)
    app = create_app(settings, store, watcher, queue, artifacts, assets, catalog, keys)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield Service(
            client=client,
            store=store,
            watcher=watcher,
            queue=queue,
            artifacts=artifacts,
            assets=assets,
            worker=ScriptedWorker(store, artifacts),
            redis_url=redis_url,
            data_dir=data_dir,
        )
    store.close()


@pytest.fixture
async def service(clean_redis_url: str, models_dir: Path, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        yield service


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem document that a person understands; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"].endswith(code)
    assert len(problem["detail"].split()) >= 4, f"no sentence: {problem['detail']!r}"
    return problem
