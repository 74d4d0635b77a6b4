"""The model that a request names, ready to be planned for."""

import logging

from api.dependencies import Services
from api.web.errors import InvalidRequest, invalid_field
from jukebox_core.errors import JukeboxError, ModelNotFound
from jukebox_core.models.catalog import ModelCard

_log = logging.getLogger(__name__)


def model_card(services: Services, name: str) -> ModelCard:
    """The model of a request. Raises InvalidRequest."""
    try:
        return services.catalog.get(name)
    except ModelNotFound as error:
        raise _bad_model(str(error)) from error
    except JukeboxError as error:
        _log.error("model %s cannot be used: %s", name, error)
        detail = "this model is installed but broken; the service's log has the details"
        raise _bad_model(detail) from error


def _bad_model(sentence: str) -> InvalidRequest:
    return invalid_field("body", ["model"], sentence)
