"""The application with its real parts, for any ASGI server: `uvicorn --factory api.asgi:app`."""

import logging

from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings
from jobs.api_keys import ApiKeyFile
from jobs.files.shared_folder import SharedFolder
from jobs.queue import CeleryJobQueue
from jobs.store import JobStore
from jobs.store.watcher import JobWatcher
from jukebox_core.models.catalog import BUNDLED_MODELS, ModelCatalog

STORAGE_PATIENCE_SEC = 10.0
"""How long a client waits for a bucket that does not answer, before a 503."""


def app() -> FastAPI:
    """The application as the environment wants it. Raises InvalidSettings."""
    return build_app(ApiSettings.from_environment())


def build_app(settings: ApiSettings) -> FastAPI:
    """The application with its real parts. Nothing is connected before the first request."""
    catalog = ModelCatalog(settings.open_models().folder, BUNDLED_MODELS)
    if fault := catalog.fault():
        logging.getLogger(__name__).warning("%s", fault)
    storage = settings.open_storage(at_most_sec=STORAGE_PATIENCE_SEC)
    return create_app(
        settings,
        JobStore(settings.redis_url),
        JobWatcher(settings.redis_url),
        CeleryJobQueue(settings.redis_url),
        storage.artifacts,
        storage.assets,
        catalog,
        ApiKeyFile(settings.data_dir),
        SharedFolder(settings.data_dir, settings.redis_url),
    )
