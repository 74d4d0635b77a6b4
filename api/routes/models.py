"""Models: what can sing, and how long."""

import logging

from fastapi import APIRouter

from api.dependencies import ServicesDep
from api.openapi import problems
from api.schemas import ModelList, ModelView
from api.views import model_view
from jukebox_core.catalog import ModelCatalog
from jukebox_core.errors import JukeboxError

_log = logging.getLogger(__name__)

router = APIRouter(tags=["models"])


@router.get(
    "/models",
    operation_id="listModels",
    summary="List the models",
    responses=problems(),
)
def list_models(services: ServicesDep) -> ModelList:
    """Every model that a job may name, with its levels, limits and licence."""
    views = (_view(services.catalog, name) for name in services.catalog.names())
    return ModelList(data=[view for view in views if view is not None])


def _view(catalog: ModelCatalog, name: str) -> ModelView | None:
    """One broken directory must not hide the others."""
    try:
        return model_view(catalog.get(name))
    except JukeboxError as error:
        _log.warning("model %s cannot be offered: %s", name, error)
        return None
