"""Lists of jobs: filtered, searched, sorted, and page by page."""

import re
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
)

from api.dependencies import JobId, JobReader, JobReaderDep, ServicesDep
from api.views.job_schemas import JobList
from api.views.openapi import problems
from api.web.callers import CallerDep
from jobs.record.job import JobStatus
from jobs.record.request import JobIdText
from jobs.record.search_terms import MAX_WORDS_OF_A_SEARCH, words_of
from jobs.store import JobPage
from jobs.store.lists import JobOrder

router = APIRouter(tags=["jobs"])

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _require_rfc_3339(text: object) -> object:
    """Pydantic would also take seconds since 1970, which the document does not promise."""
    if isinstance(text, str) and _RFC_3339.fullmatch(text) is None:
        raise ValueError("must be a moment with its zone, such as 2026-11-22T07:30:00Z")
    return text


def _few_words(text: str) -> str:
    if len(words_of(text)) > MAX_WORDS_OF_A_SEARCH:
        raise ValueError(f"holds more than {MAX_WORDS_OF_A_SEARCH} different words")
    return text


SearchText = Annotated[str, Field(max_length=200), AfterValidator(_few_words)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_require_rfc_3339),
    Field(description="RFC 3339, e.g. 2026-11-22T07:30:00Z"),
]


class PageQuery(BaseModel):
    """Selects a page of a list."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None, Field(max_length=500, description="`next_cursor` of the previous page")
    ] = None


class ListQuery(PageQuery):
    """Filters and order of a list of jobs."""

    q: Annotated[
        SearchText | None,
        Field(
            description="Words, or beginnings of words, of title, tags, notes, artist, genre or "
            "lyrics: jobs that have all of them",
        ),
    ] = None
    status: JobStatus | None = None
    model: Annotated[str | None, Field(max_length=64)] = None
    favorite: Annotated[
        bool | None, Field(description="`true`: favorites only; `false`: all jobs")
    ] = None
    tag: Annotated[
        str | None, Field(min_length=1, max_length=50, description="Regardless of case")
    ] = None
    artist: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Regardless of case")
    ] = None
    genre: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Regardless of case")
    ] = None
    root: Annotated[
        JobIdText | None, Field(description="A first job: list it and all its descendants")
    ] = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    trashed: Annotated[
        bool, Field(description="`true`: the jobs in the trash, which are in no other list")
    ] = False
    sort: Annotated[
        JobOrder,
        Field(description="Newest first, oldest first, or by title, with untitled jobs last"),
    ] = "-created_at"


@router.get(
    "/jobs",
    operation_id="listJobs",
    summary="List jobs",
    responses=problems(503),
)
def list_jobs(
    query: Annotated[ListQuery, Query()],
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
) -> JobList:
    """Returns one page of jobs. `next_cursor` is null on the last page.

    Filters combine: a job must pass all of them. A page may have fewer jobs than `limit`, or none,
    if many have to be looked at; `next_cursor` then continues the search.

    With API keys, the list contains the jobs of the key, or of all keys with the scope `admin`.
    """
    page = services.store.list_jobs(
        order=query.sort,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        model=query.model,
        root=query.root,
        owner=caller.listed_owner,
        text=query.q and query.q.strip(),
        favorite=query.favorite,
        tag=query.tag,
        artist=query.artist,
        genre=query.genre,
        created_after=query.created_after,
        created_before=query.created_before,
        in_trash=query.trashed,
    )
    return _job_list(page, reader)


def _job_list(page: JobPage, reader: JobReader) -> JobList:
    return JobList(
        data=reader.views(page.jobs),
        has_more=page.next_cursor is not None,
        next_cursor=page.next_cursor,
        total=page.total,
    )


@router.get(
    "/jobs/{job_id}/children",
    operation_id="listChildren",
    summary="List derived jobs",
    responses=problems(404, 503),
)
def list_children(
    job_id: JobId,
    query: Annotated[PageQuery, Query()],
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
) -> JobList:
    """Returns the direct descendants, newest first. `GET /jobs?root=` returns the whole tree."""
    services.store.get(job_id)
    page = services.store.children(
        job_id, owner=caller.listed_owner, limit=query.limit, cursor=query.cursor
    )
    return _job_list(page, reader)
