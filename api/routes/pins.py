"""Pinning: jobs that do not expire."""

from fastapi import APIRouter

from api.dependencies import JobId, JobReaderDep, ServicesDep
from api.views.job_schemas import JobView
from api.views.openapi import problems

router = APIRouter(tags=["jobs"])


@router.post(
    "/jobs/{job_id}/pin",
    operation_id="pinJob",
    summary="Pin a job",
    response_description="The pinned job",
    responses=problems(404),
)
def pin_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """A pinned job and its codes do not expire, and `expires_at` is null.

    A pinned job can still be deleted. Pinning a pinned job has no effect.
    """
    return reader.view(services.store.set_pinned(job_id, True))


@router.delete(
    "/jobs/{job_id}/pin",
    operation_id="unpinJob",
    summary="Unpin a job",
    response_description="The unpinned job",
    responses=problems(404),
)
def unpin_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """The retention period starts again; `expires_at` is its end.

    Unpinning a job that is not pinned has no effect.
    """
    return reader.view(services.store.set_pinned(job_id, False))
