"""Is everything well?"""

from fastapi import APIRouter, Response

from api.dependencies import ServicesDep
from api.metrics import METRICS_TYPE
from api.views.openapi import problems
from api.views.schemas import HealthView, SystemView
from api.views.views import worker_view
from jobs.version import VERSION

router = APIRouter(tags=["service"])


@router.get(
    "/healthz", operation_id="checkHealth", summary="Does this process live?", responses=problems()
)
async def check_health() -> HealthView:
    """Yes, if it answers; says nothing about anything behind it."""
    return HealthView()


@router.get(
    "/readyz",
    operation_id="checkReadiness",
    summary="Can jobs be taken?",
    responses=problems(503),
)
def check_readiness(services: ServicesDep) -> HealthView:
    """Yes, if the job store answers; 503 otherwise."""
    services.store.ping()
    return HealthView()


@router.get(
    "/system",
    operation_id="getSystem",
    summary="The service at a glance",
    responses=problems(503),
)
def get_system(services: ServicesDep) -> SystemView:
    """Workers heard of lately, how many jobs have each status, and the version."""
    return SystemView(
        version=VERSION,
        workers=[worker_view(worker) for worker in services.store.workers()],
        jobs=dict(services.store.counts()),
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The text format of Prometheus, version 0.0.4",
            "content": {METRICS_TYPE.partition(";")[0]: {"schema": {"type": "string"}}},
        },
        **problems(),
    },
)
def get_metrics(services: ServicesDep) -> Response:
    """Jobs, workers and disk of the service, and the requests of this process.

    While the job store is away, `jukebox_store_up` is 0 and what it would tell is left out.
    """
    return Response(services.metrics.text(), media_type=METRICS_TYPE)
