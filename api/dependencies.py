"""What endpoints ask for, as annotated names: the parts of the service, and checked parameters."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool

from api.access.signed_urls import UrlSigner, signer_for
from api.derived_files import DerivedFiles
from api.job_feed import JobFeed
from api.media import Ingest
from api.metrics import ApiMetrics
from api.rollback import Withdrawals
from api.settings import ApiSettings
from api.views.job_schemas import EXAMPLE_ID, JobView
from api.views.queue_forecast import QueueForecast
from api.views.views import eta_sec, job_view
from api.web.callers import Caller, CallerDep, Proof
from api.web.errors import ApiError
from api.web.made_once import MadeOnce
from api.web.proxy import root_path
from api.web.streams import Streams
from api.web.uploads import Uploads
from jobs.api_keys import Scope
from jobs.errors import DataFolderMismatch, JobInTrash, JobNotFound
from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets
from jobs.files.shared_folder import SharedFolder
from jobs.files.stored_bytes import StoredBytes
from jobs.queue import JobQueue
from jobs.record.job import Job, JobStatus, Stage, is_job_id
from jobs.record.request import MAX_LYRICS_CHARACTERS
from jobs.store import JobStore, JobWatcher
from jukebox_core.config import LabelVersion
from jukebox_core.errors import JukeboxError
from jukebox_core.labels import JukeboxTokenizer, LyricAlphabet
from jukebox_core.models.catalog import ModelCatalog

_log = logging.getLogger(__name__)

_MAX_SHOWN_EVENTS = 256
"""Changes of jobs, some 5 kB each, that are kept for those who hear of them a little later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The real parts behind the endpoints; `create_app` puts them together.

    `stopping` is set when the process is asked to stop, so that nobody goes on waiting.
    """

    settings: ApiSettings
    store: JobStore
    watcher: JobWatcher
    queue: JobQueue
    artifacts: Artifacts
    assets: Assets
    stored_bytes: StoredBytes
    folder: SharedFolder | None
    catalog: ModelCatalog
    derived: DerivedFiles
    ingest: Ingest
    uploads: Uploads
    withdrawals: Withdrawals
    streams: Streams
    feed: JobFeed
    forecast: QueueForecast
    snapshots: MadeOnce[tuple[Job, str]] = field(
        default_factory=lambda: MadeOnce(_MAX_SHOWN_EVENTS)
    )
    shown_events: MadeOnce[tuple[Job, Mapping[str, bytes]]] = field(
        default_factory=lambda: MadeOnce(_MAX_SHOWN_EVENTS)
    )
    metrics: ApiMetrics
    stopping: asyncio.Event


def check_data_folder(services: "Services") -> None:
    """Before files are written: is this the folder that the workers use?

    Raises:
        ApiError: it is another one.
        StoreUnavailable: nobody can tell now.
    """
    if services.folder is None:
        return
    try:
        services.folder.check()
    except DataFolderMismatch as error:
        _log.error("%s", error)
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "data_folder_mismatch",
            "The service is misconfigured: its data folder differs from that of its workers. The "
            "log tells the operator how to fix it.",
        ) from error


async def services_of(request: Request) -> Services:
    """The parts of the application that serves this request."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


def checked_job_id(
    job_id: Annotated[str, Path(description="Id of a job", examples=[EXAMPLE_ID])],
    caller: CallerDep,
    services: ServicesDep,
) -> str:
    """The id of a job that this caller may see. What is no id never reaches store and disk.

    Raises:
        JobNotFound: no id of ours looks like this, or the job is somebody else's.
        JobInTrash: it was deleted, and can be restored.
    """
    if not is_job_id(job_id):
        raise JobNotFound(job_id[:64])
    try:
        owner = services.store.check_access(job_id)
    except JobInTrash as error:
        if caller.may_see(error.owner):
            raise
        raise JobNotFound(job_id) from error
    if not caller.may_see(owner):
        raise JobNotFound(job_id)
    return job_id


def checked_id_in_trash(
    job_id: Annotated[str, Path(description="Id of a job", examples=[EXAMPLE_ID])],
    caller: CallerDep,
    services: ServicesDep,
) -> str:
    """The same, also for a job in the trash."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id[:64])
    if not (caller.sees_all or caller.may_see(services.store.owner_of(job_id))):
        raise JobNotFound(job_id)
    return job_id


async def stream_place(caller: CallerDep, services: ServicesDep) -> AsyncIterator[None]:
    """A place for as long as the answer lasts. Raises LimitReached when there are too many."""
    with services.streams.place(caller.owner):
        yield


JobId = Annotated[str, Depends(checked_job_id)]
JobIdInTrash = Annotated[str, Depends(checked_id_in_trash)]


class JobReader:
    """Reads jobs and shows them as this request's client should see them."""

    def __init__(self, services: Services, request: Request, caller: Caller) -> None:
        self._store, self._catalog, self._caller = services.store, services.catalog, caller
        self._forecast = services.forecast
        self._tokenizers: dict[str, JukeboxTokenizer | None] = {}
        self._rates: dict[str, Mapping[Stage, float]] = {}
        self._url_secret: bytes | None = None
        self._root = root_path(request.scope)
        self._signing_key = _signing_key(caller)

    def view(self, job: Job) -> JobView:
        """A record with its place in the queue and its likely end. Blocking."""
        position = None if job.is_terminal else self._store.queue_position(job.id)
        return self._view(job, position)

    def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """The same of a page of jobs, whose places are asked for at once. Blocking."""
        waiting = [job.id for job in jobs if not job.is_terminal]
        positions = dict(zip(waiting, self._store.queue_positions(waiting), strict=True))
        return [self._view(job, positions.get(job.id)) for job in jobs]

    def _view(self, job: Job, position: int | None) -> JobView:
        return job_view(
            job,
            queue_position=position,
            eta_sec=self._eta_sec(job, position),
            root=self._root,
            lyrics_as_read=self._lyrics_as_read(job),
            signer=self._signer(),
        )

    def _eta_sec(self, job: Job, position: int | None) -> float | None:
        if job.is_terminal:
            return None
        if job.status is JobStatus.QUEUED or job.seconds_left is None:
            told = self._forecast.eta_sec(job, position)
            if told is not None:
                return round(told, 1)
        return eta_sec(job, self._rates_of(job.request.model), position)

    def _signer(self) -> UrlSigner | None:
        if self._signing_key is None:
            return None
        if self._url_secret is None:
            self._url_secret = self._store.url_secret()
        return signer_for(self._signing_key, self._url_secret)

    def _rates_of(self, model: str) -> Mapping[Stage, float]:
        """Asked once per model and request: a page of jobs is mostly of one model."""
        if model not in self._rates:
            self._rates[model] = self._store.rates(model)
        return self._rates[model]

    def bare_view(self, job: Job) -> JobView:
        """A record alone, without asking the store for anything."""
        return job_view(
            job,
            queue_position=None,
            eta_sec=None,
            root=self._root,
            lyrics_as_read=self._lyrics_as_read(job),
        )

    def _lyrics_as_read(self, job: Job) -> str | None:
        """None as well for a model that is gone; looked up once per model and request."""
        model = job.request.model
        if model not in self._tokenizers:
            self._tokenizers[model] = _tokenizer_of(self._catalog, model)
        tokenizer = self._tokenizers[model]
        if tokenizer is None or tokenizer.lyrics_alphabet is None:
            return None
        return _as_read(tokenizer.lyrics_alphabet.version, job.lyrics)

    @property
    def audience(self) -> tuple[str | None, str]:
        """Requests of the same audience see the same view of a job."""
        return self._signing_key, self._root

    async def read(self, job_id: str) -> tuple[Job, JobView]:
        """A record now, and its view. Raises JobNotFound, StoreUnavailable."""
        return await run_in_threadpool(self._read, job_id)

    def _read(self, job_id: str) -> tuple[Job, JobView]:
        job = self._store.get(job_id)
        return job, self.view(job)


def _signing_key(caller: Caller) -> str | None:
    """None where no key is needed, or who asks may not read, or not more than one URL."""
    is_limited = caller.proof is Proof.SIGNATURE or not caller.may(Scope.READ)
    return None if is_limited else caller.owner


@lru_cache(maxsize=128)
def _as_read(version: LabelVersion, lyrics: str) -> str:
    """Kept, since jobs are asked for again and again; the longest lyrics take 8 ms."""
    return LyricAlphabet(version).normalize(lyrics)[:MAX_LYRICS_CHARACTERS]


def _tokenizer_of(catalog: ModelCatalog, model: str) -> JukeboxTokenizer | None:
    try:
        return catalog.get(model).tokenizer
    except JukeboxError:
        return None


async def job_reader(services: ServicesDep, request: Request, caller: CallerDep) -> JobReader:
    """A reader for this request. Made on the event loop: a thread costs more than making it."""
    return JobReader(services, request, caller)


JobReaderDep = Annotated[JobReader, Depends(job_reader)]
