"""Keeping a job for longer than jobs are kept."""

from fastapi import APIRouter

from api.dependencies import JobId, JobReaderDep, ServicesDep
from api.views.openapi import problems
from api.views.schemas import JobView

router = APIRouter(tags=["jobs"])


@router.post(
    "/jobs/{job_id}/pin",
    operation_id="pinJob",
    summary="Keep a job until it is unpinned",
    response_description="The job, `pinned`",
    responses=problems(404),
)
def pin_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """Neither the job nor its codes expire while it is pinned, and `expires_at` is null.

    Whoever may delete it can do so all the same. Pinning twice changes nothing.
    """
    return reader.view(services.store.set_pinned(job_id, True))


@router.delete(
    "/jobs/{job_id}/pin",
    operation_id="unpinJob",
    summary="Let a job expire again",
    response_description="The job, not `pinned`",
    responses=problems(404),
)
def unpin_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """From now on its time counts anew: `expires_at` says until when it is kept.

    Unpinning a job that is not pinned changes nothing.
    """
    return reader.view(services.store.set_pinned(job_id, False))
