"""What people write on a job: title, tags, favorite, notes and metadata."""

from typing import Annotated

from fastapi import APIRouter, Body

from api.dependencies import JobId, JobReaderDep, ServicesDep
from api.views.job_schemas import JobView
from api.views.openapi import ANNOTATIONS, problems
from jobs.record.annotations import AnnotationChanges

router = APIRouter(tags=["jobs"])


@router.patch(
    "/jobs/{job_id}",
    operation_id="updateJob",
    summary="Update a job",
    response_description="The job with its changes",
    responses=problems(400, 404, 413, 415, 503),
)
def update_job(
    job_id: JobId,
    body: Annotated[
        AnnotationChanges,
        Body(openapi_examples={"names": {"summary": "Title and tags", "value": ANNOTATIONS}}),
    ],
    services: ServicesDep,
    reader: JobReaderDep,
) -> JobView:
    """Changes the named fields, whatever the job's status. null or an empty value clears a field.

    `tags` and `metadata` are replaced as a whole. Nothing of the song changes.
    """
    return reader.view(services.store.annotate(job_id, body.changed_fields()))
