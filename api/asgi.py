"""The application with its real parts, for any ASGI server: `uvicorn --factory api.asgi:app`."""

import logging

from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiSettings
from jobs.api_keys import ApiKeyFile
from jobs.files.artifacts import LocalArtifacts
from jobs.files.assets import LocalAssets
from jobs.files.shared_folder import SharedFolder
from jobs.queue import CeleryJobQueue
from jobs.store import JobStore
from jobs.store.watcher import JobWatcher
from jukebox_core.models.catalog import BUNDLED_MODELS, ModelCatalog


def app() -> FastAPI:
    """The application as the environment wants it. Raises InvalidSettings."""
    return build_app(ApiSettings.from_environment())


def build_app(settings: ApiSettings) -> FastAPI:
    """The application with its real parts. Nothing is connected before the first request."""
    catalog = ModelCatalog(settings.models_dir, BUNDLED_MODELS)
    if fault := catalog.fault():
        logging.getLogger(__name__).warning("%s", fault)
    return create_app(
        settings,
        JobStore(settings.redis_url),
        JobWatcher(settings.redis_url),
        CeleryJobQueue(settings.redis_url),
        LocalArtifacts(settings.data_dir / "artifacts"),
        LocalAssets(settings.data_dir / "assets"),
        catalog,
        ApiKeyFile(settings.data_dir),
        SharedFolder(settings.data_dir, settings.redis_url),
    )
