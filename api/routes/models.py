"""Models: what can sing, how long, and whose names it knows."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.dependencies import ServicesDep
from api.views.openapi import problems
from api.views.schemas import ModelList, ModelView, NameList
from api.views.views import broken_view, model_view, name_view, released_view
from api.web.errors import ApiError
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
        description="What to look for, spelt right or not; all names, from the first, if empty",
        examples=["sawtoths"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many names at most")]


@router.get(
    "/models",
    operation_id="listModels",
    summary="List the models",
    responses=problems(),
)
def list_models(services: ServicesDep) -> ModelList:
    """Every model with its state, levels, limits and licence; broken ones with an error.

    A job may name those that are `ready`. The released models that are `absent` can be fetched by
    whoever runs the service: `jukebox models pull NAME`.
    """
    catalog = services.catalog
    present = [_view(catalog, name) for name in catalog.names()]
    others = [released_view(model, catalog.state(model.name)) for model in catalog.absent()]
    present.sort(key=lambda view: view.state is ModelState.BROKEN)
    return ModelList(data=[*present, *others])


@router.get(
    "/models/{name}/artists",
    operation_id="searchArtists",
    summary="Find an artist",
    responses=problems(404),
)
def search_artists(
    name: ModelName, services: ServicesDep, text: Text = "", limit: Limit = 20
) -> NameList:
    """Artists that the model knows and that are spelt like the text.

    Each level has its own list: `ids` says which of them know the artist.
    """
    return _search(services.catalog, name, lambda search: search.artists(text, limit))


@router.get(
    "/models/{name}/genres",
    operation_id="searchGenres",
    summary="Find a genre",
    responses=problems(404),
)
def search_genres(
    name: ModelName, services: ServicesDep, text: Text = "", limit: Limit = 20
) -> NameList:
    """Genres that the model knows and that are spelt like the text, or like a word of it."""
    return _search(services.catalog, name, lambda search: search.genres(text, limit))


def _search(
    catalog: ModelCatalog, name: str, find: Callable[[LabelSearch], list[NameMatch]]
) -> NameList:
    if card_of(catalog, name).tokenizer is None:
        detail = f"{name} came without lists of artists and genres: names cannot be looked up"
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
        detail = f"{name} is installed but broken; the service's log says how"
        raise ApiError(HTTPStatus.NOT_FOUND, "model_not_found", detail) from error


def _view(catalog: ModelCatalog, name: str) -> ModelView:
    """One broken directory must not hide the others."""
    try:
        return model_view(catalog.get(name))
    except JukeboxError as error:
        _log.warning("model %s cannot be offered: %s", name, error)
        return broken_view(name)
