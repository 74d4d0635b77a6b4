"""Models: their state, their limits, and the names that they know."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.dependencies import Services, ServicesDep
from api.views.openapi import problems
from api.views.service_schemas import ModelList, ModelView, NameList
from api.views.views import broken_view, model_view, name_view, released_view
from api.web.errors import ApiError
from jobs.errors import StoreUnavailable
from jobs.store import WorkerInfo
from jukebox_core.errors import JukeboxError, ModelNotFound
from jukebox_core.labels.search import LabelSearch, NameMatch
from jukebox_core.models.catalog import ModelCard, ModelCatalog, ModelState

_log = logging.getLogger(__name__)

router = APIRouter(tags=["models"])

ModelName = Annotated[str, Path(max_length=64, description="Name of a model", examples=["mini"])]
Text = Annotated[
    str,
    Query(
        alias="q",
        max_length=200,
        description="Search text; misspellings are tolerated. If empty, lists all names",
        examples=["sawtoths"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of names")]


@router.get(
    "/models",
    operation_id="listModels",
    summary="List models",
    responses=problems(),
)
def list_models(services: ServicesDep) -> ModelList:
    """Returns all models with state, levels, limits and license; broken ones with an error.

    Jobs can use models that are `ready`; for those, workers tell memory and time. The operator can
    download `absent` models with `jukebox models pull NAME`.
    """
    catalog = services.catalog
    workers = _workers(services)
    present = [_view(services, workers, name) for name in catalog.names()]
    others = [released_view(model, catalog.state(model.name)) for model in catalog.absent()]
    present.sort(key=lambda view: view.state is ModelState.BROKEN)
    return ModelList(data=[*present, *others])


@router.get(
    "/models/{name}/artists",
    operation_id="searchArtists",
    summary="Search artists",
    responses=problems(404),
)
def search_artists(
    name: ModelName, services: ServicesDep, text: Text = "", limit: Limit = 20
) -> NameList:
    """Returns artists that the model knows, ranked by similarity to the text.

    Each level has its own list; `ids` contains the ids for each level.
    """
    return _search(services.catalog, name, lambda search: search.artists(text, limit))


@router.get(
    "/models/{name}/genres",
    operation_id="searchGenres",
    summary="Search genres",
    responses=problems(404),
)
def search_genres(
    name: ModelName, services: ServicesDep, text: Text = "", limit: Limit = 20
) -> NameList:
    """Returns genres that the model knows, ranked by similarity to the text or a word of it."""
    return _search(services.catalog, name, lambda search: search.genres(text, limit))


def _search(
    catalog: ModelCatalog, name: str, find: Callable[[LabelSearch], list[NameMatch]]
) -> NameList:
    if card_of(catalog, name).tokenizer is None:
        detail = f"the model {name} has no lists of artists and genres"
        raise ApiError(HTTPStatus.NOT_FOUND, "labels_not_found", detail)
    return NameList(data=[name_view(match) for match in find(catalog.search(name))])


def card_of(catalog: ModelCatalog, name: str) -> ModelCard:
    """The model of a path. Raises ApiError where there is none that can be read."""
    try:
        return catalog.get(name)
    except ModelNotFound as error:
        raise ApiError(HTTPStatus.NOT_FOUND, "model_not_found", str(error)) from error
    except JukeboxError as error:
        _log.error("model %s cannot be used: %s", name, error)
        detail = f"{name} is installed but broken; the service's log has the details"
        raise ApiError(HTTPStatus.NOT_FOUND, "model_not_found", detail) from error


def _workers(services: Services) -> list[WorkerInfo]:
    """Those that are seen; models are listed while the store is away, too."""
    try:
        return services.store.workers()
    except StoreUnavailable:
        return []


def _view(services: Services, workers: Sequence[WorkerInfo], name: str) -> ModelView:
    """One broken directory must not hide the others."""
    try:
        card = services.catalog.get(name)
        return model_view(card, workers, services.store.rates(name) if workers else None)
    except StoreUnavailable:
        return model_view(card, workers)
    except JukeboxError as error:
        _log.warning("model %s cannot be offered: %s", name, error)
        return broken_view(name)
