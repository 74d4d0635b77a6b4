"""The application: given its parts, it builds none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from api.audio_files import Transcoder
from api.dependencies import Services
from api.door import Door, is_loopback
from api.error_handlers import install_error_handlers
from api.ingest import Ingest
from api.metrics import ApiMetrics, CountRequests
from api.middleware import BodyLimit, SecurityHeaders
from api.openapi import DESCRIPTION, TAGS, openapi_of
from api.routes import alignment, audio, events, health, jobs, models
from api.routes import assets as assets_routes
from api.routes import webhooks as webhooks_routes
from api.settings import ApiSettings
from api.version import VERSION
from api.withdrawals import Withdrawals
from jobs.api_keys import ApiKeyFile
from jobs.artifacts import LocalArtifacts
from jobs.assets import LocalAssets
from jobs.queue import JobQueue
from jobs.store import JobStore, JobWatcher
from jukebox_core.catalog import ModelCatalog

_FORM_BYTES = 4096
"""What the form around a file may take."""


def create_app(
    settings: ApiSettings,
    store: JobStore,
    watcher: JobWatcher,
    queue: JobQueue,
    artifacts: LocalArtifacts,
    assets: LocalAssets,
    catalog: ModelCatalog,
    keys: ApiKeyFile,
) -> FastAPI:
    """The HTTP service over these parts. It closes `watcher` when it stops."""
    withdrawals = Withdrawals(store, artifacts.remove_job)
    metrics = ApiMetrics(store, queue, settings.data_dir)
    app = FastAPI(
        title="Jukebox",
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        redoc_url=None,
        lifespan=_closing(watcher, withdrawals),
    )
    app.state.services = Services(
        settings=settings,
        store=store,
        watcher=watcher,
        queue=queue,
        artifacts=artifacts,
        assets=assets,
        catalog=catalog,
        transcoder=Transcoder(artifacts, timeout_sec=settings.transcode_timeout_sec),
        ingest=Ingest(timeout_sec=settings.ingest_timeout_sec),
        withdrawals=withdrawals,
        metrics=metrics,
        stopping=asyncio.Event(),
    )
    for routes in (jobs, events, audio, alignment, assets_routes, models, webhooks_routes, health):
        app.include_router(routes.router)
    app.add_api_route("/", _to_docs, include_in_schema=False)
    install_error_handlers(app)
    # The last one added is the first to see a request.
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        uploads={"/assets": settings.max_asset_bytes + _FORM_BYTES},
    )
    always_locked = not is_loopback(settings.host)
    app.add_middleware(Door, keys=keys, always_locked=always_locked)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=metrics)
    # FastAPI's own way to do it.
    app.openapi = openapi_of(app, lambda: always_locked or keys.exists)  # type: ignore[method-assign]
    return app


def _closing(
    watcher: JobWatcher, withdrawals: Withdrawals
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await watcher.close()
        await run_in_threadpool(withdrawals.close)

    return lifespan


async def _to_docs() -> RedirectResponse:
    return RedirectResponse("docs")
