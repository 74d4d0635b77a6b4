"""Is everything well?"""

from fastapi import APIRouter

from api.dependencies import ServicesDep
from api.openapi import problems
from api.schemas import HealthView, SystemView
from api.version import VERSION
from api.views import worker_view

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
