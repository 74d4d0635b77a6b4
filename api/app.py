"""The application: given its parts, it builds none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from api.access.auth import Authentication
from api.access.cors import Cors
from api.access.origins import is_loopback
from api.access.revocation import EndWithKey
from api.dependencies import Services
from api.derived_files import DerivedFiles
from api.job_feed import JobFeed
from api.media import Ingest
from api.metrics import ApiMetrics, CountRequests
from api.rollback import Withdrawals
from api.routes import (
    alignment,
    annotations,
    archive,
    audio,
    docs,
    events,
    feed,
    health,
    jobs,
    lists,
    live,
    lyrics,
    models,
    peaks,
    pins,
    session,
    spectrogram,
    studio,
)
from api.routes import (
    assets as assets_routes,
)
from api.routes import (
    webhooks as webhooks_routes,
)
from api.settings import ApiSettings
from api.views.openapi import DESCRIPTION, TAGS, Documents
from api.views.queue_forecast import QueueForecast
from api.web.error_handlers import install_error_handlers
from api.web.middleware import BodyLimit, FilesAsBytes, SecurityHeaders
from api.web.proxy import BehindProxy, prefix_of_url
from api.web.request_cost import (
    RequestCost,
    RequestRate,
    refuse_repeated_parameters,
    refuse_unknown_parameters,
)
from api.web.routing import HeadLikeGet
from api.web.streams import Streams
from api.web.uploads import Uploads
from jobs.api_keys import ApiKeyFile
from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets
from jobs.files.shared_folder import SharedFolder
from jobs.files.stored_bytes import StoredBytes
from jobs.files.sweeper import Sweeper
from jobs.queue import JobQueue
from jobs.store import JobStore, JobWatcher
from jobs.version import VERSION
from jukebox_core.models.catalog import ModelCatalog

_ROUTERS = (
    jobs.router,
    lists.router,
    annotations.router,
    pins.router,
    events.router,
    feed.router,
    audio.router,
    live.router,
    peaks.router,
    spectrogram.router,
    archive.router,
    alignment.router,
    lyrics.router,
    assets_routes.router,
    models.router,
    webhooks_routes.router,
    session.router,
    health.router,
    docs.router,
    studio.router,
)
"""In the order in which the page at /docs shows them."""
_JOIN_SEC = 5.0
_FORM_BYTES = 4096
"""What the form around a file may take."""


def create_app(
    settings: ApiSettings,
    store: JobStore,
    watcher: JobWatcher,
    queue: JobQueue,
    artifacts: Artifacts,
    assets: Assets,
    catalog: ModelCatalog,
    keys: ApiKeyFile,
    folder: SharedFolder | None = None,
) -> FastAPI:
    """The HTTP service over these parts. It closes `watcher` when it stops.

    `folder` is asked before anything is written to the data folder; None asks nobody.
    """
    stopping = asyncio.Event()
    services = Services(
        settings=settings,
        store=store,
        watcher=watcher,
        queue=queue,
        artifacts=artifacts,
        assets=assets,
        stored_bytes=StoredBytes(artifacts, assets, store.owner_of),
        folder=folder,
        catalog=catalog,
        derived=DerivedFiles(artifacts, timeout_sec=settings.transcode_timeout_sec),
        ingest=Ingest(timeout_sec=settings.ingest_timeout_sec),
        uploads=Uploads(
            max_per_owner=settings.max_uploads_per_key,
            timeout_sec=settings.upload_timeout_sec,
            min_bytes_per_sec=settings.min_upload_bytes_per_sec,
        ),
        withdrawals=Withdrawals(store, artifacts.remove_job),
        streams=Streams(max_all=settings.max_streams, max_per_owner=settings.max_streams_per_key),
        feed=JobFeed(watcher, stopping),
        forecast=QueueForecast(store, catalog),
        metrics=ApiMetrics(store, queue, settings.local_dir),
        stopping=stopping,
    )
    return _app_over(services, keys)


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """The routes of every application of this process: they refer to none.

    FastAPI puts them together when it first looks at them, which takes nearly all of the time of
    making an application.
    """
    together = APIRouter(
        dependencies=[Depends(refuse_repeated_parameters), Depends(refuse_unknown_parameters)]
    )
    for router in _ROUTERS:
        together.include_router(router)
    return tuple(together.routes)


@cache
def _documents() -> Documents:
    """Of every application of this process: nothing in them but the need for keys differs."""
    return Documents()


def _app_over(services: Services, keys: ApiKeyFile) -> FastAPI:
    always_locked = not is_loopback(services.settings.host)
    app = FastAPI(
        title="Jukebox",
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=list(_routes()),
        lifespan=_running(services),
    )
    app.state.services = services
    app.webhooks.include_router(webhooks_routes.messages)
    install_error_handlers(app)
    _add_middleware(app, services, keys, always_locked=always_locked)
    services.metrics.expect_requests(app.routes)
    services.store.on_ended = services.metrics.end_job
    documents = _documents()
    # FastAPI's own way to do it.
    app.openapi = lambda: documents.of(app, needs_key=always_locked or keys.exists)  # type: ignore[method-assign]
    return app


def _add_middleware(
    app: FastAPI, services: Services, keys: ApiKeyFile, *, always_locked: bool
) -> None:
    """The last one added is the first to see a request."""
    settings, store = services.settings, services.store
    app.add_middleware(HeadLikeGet)
    app.add_middleware(FilesAsBytes)
    app.add_middleware(RequestCost, uploads=frozenset({"/assets"}))
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        uploads={"/assets": settings.max_asset_bytes + _FORM_BYTES},
    )
    app.add_middleware(
        RequestRate,
        store=store,
        per_minute=settings.max_requests_per_minute,
        posts_per_minute=settings.max_posts_per_minute,
    )
    app.add_middleware(EndWithKey, keys=keys)
    app.add_middleware(
        Authentication,
        keys=keys,
        store=store,
        always_locked=always_locked,
        public_url=settings.public_url,
        origins=settings.cors_origins,
    )
    app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=services.metrics)
    app.add_middleware(
        BehindProxy, trusted=settings.trusted_proxies, prefix=prefix_of_url(settings.public_url)
    )


def _running(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    settings = services.settings
    sweeper = Sweeper(
        services.store,
        services.artifacts,
        services.assets,
        every_sec=settings.sweep_sec,
        kept_assets_sec=settings.keep_assets_sec or None,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeper.start()
        yield
        sweeper.stop()
        await services.feed.close()
        await services.watcher.close()
        await run_in_threadpool(sweeper.join, _JOIN_SEC)
        await run_in_threadpool(services.withdrawals.close)

    return lifespan
