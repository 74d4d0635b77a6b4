"""The model that a request names, ready to be planned for."""

import logging
from http import HTTPStatus

from api.dependencies import Services
from api.web.errors import ApiError, InvalidRequest, invalid_field
from jobs.record.job import Job, Stage, stages_of
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


def check_memory(services: Services, job: Job) -> None:
    """Whether any worker can hold the model of a job, as far as workers have said. Blocking.

    Raises:
        ApiError: 409, all that do one of the stages that are left cannot.
        StoreUnavailable: nobody can tell now.
    """
    model, workers = job.request.model, services.store.workers()
    stages = stages_of(job.request)
    for stage in stages[stages.index(job.stage) :]:
        refusals = [each.too_large.get(model) for each in workers if stage in each.stages]
        if refusals and all(refusals):
            what = "render" if stage is Stage.RENDER else f"generate the {stage} level of"
            detail = f"No worker can {what} this job: {refusals[0]}."
            raise ApiError(HTTPStatus.CONFLICT, "model_too_large", detail)


def _bad_model(sentence: str) -> InvalidRequest:
    return invalid_field("body", ["model"], sentence)
