"""Health, readiness and metrics."""

import shutil

from fastapi import APIRouter, Response

from api.dependencies import ServicesDep
from api.metrics import METRICS_TYPE
from api.settings import ApiSettings
from api.views.openapi import problems
from api.views.service_schemas import DiskView, HealthView, SystemView
from api.views.views import worker_view
from jobs.version import VERSION

router = APIRouter(tags=["service"])


@router.get("/healthz", operation_id="checkHealth", summary="Check health", responses=problems())
async def check_health() -> HealthView:
    """Returns 200 while the process is running. Does not check the job store."""
    return HealthView()


@router.get(
    "/readyz",
    operation_id="checkReadiness",
    summary="Check readiness",
    responses=problems(503),
)
def check_readiness(services: ServicesDep) -> HealthView:
    """Returns 200 if the job store is reachable, otherwise 503."""
    services.store.ping()
    return HealthView()


@router.get(
    "/system",
    operation_id="getSystem",
    summary="Get the system status",
    responses=problems(503),
)
def get_system(services: ServicesDep) -> SystemView:
    """Returns recently seen workers, the number of jobs by status, the disk, and the version."""
    return SystemView(
        version=VERSION,
        workers=[worker_view(worker) for worker in services.store.workers()],
        jobs=dict(services.store.counts()),
        disk=_disk(services.settings),
    )


def _disk(settings: ApiSettings) -> DiskView | None:
    try:
        usage = shutil.disk_usage(settings.local_dir)
    except OSError:  # the log tells of it where something is written
        return None
    return DiskView(
        free_bytes=usage.free, total_bytes=usage.total, reserved_bytes=settings.min_free_bytes
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Get Prometheus metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Metrics in the Prometheus text format, version 0.0.4",
            "content": {METRICS_TYPE.partition(";")[0]: {"schema": {"type": "string"}}},
        },
        **problems(),
    },
)
def get_metrics(services: ServicesDep) -> Response:
    """Returns metrics of jobs, workers and disk, and of the requests to this process.

    If the job store is unavailable, `jukebox_store_up` is 0 and metrics from it are omitted.
    """
    return Response(services.metrics.text(), media_type=METRICS_TYPE)
