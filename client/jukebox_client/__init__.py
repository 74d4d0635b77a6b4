"""A client of the Jukebox service, synchronous and asynchronous. Needs httpx and pydantic only."""

from jukebox_client import models
from jukebox_client.aio.client import AsyncJukeboxClient
from jukebox_client.errors import (
    Conflict,
    DownloadFailed,
    Gone,
    InvalidAddress,
    InvalidRequest,
    JobFailed,
    JukeboxClientError,
    NotFound,
    OutputNotFound,
    PermissionDenied,
    ProblemError,
    RateLimited,
    ServiceFailure,
    ServiceUnreachable,
    Unauthenticated,
    UnexpectedAnswer,
    WaitTimeout,
    WebhookInvalid,
)
from jukebox_client.events import JobEvent, is_over
from jukebox_client.models import Asset, Job, Output
from jukebox_client.outputs import audio_outputs
from jukebox_client.sync.client import JukeboxClient
from jukebox_client.webhooks import verify_webhook

__all__ = [
    "Asset",
    "AsyncJukeboxClient",
    "Conflict",
    "DownloadFailed",
    "Gone",
    "InvalidAddress",
    "InvalidRequest",
    "Job",
    "JobEvent",
    "JobFailed",
    "JukeboxClient",
    "JukeboxClientError",
    "NotFound",
    "Output",
    "OutputNotFound",
    "PermissionDenied",
    "ProblemError",
    "RateLimited",
    "ServiceFailure",
    "ServiceUnreachable",
    "Unauthenticated",
    "UnexpectedAnswer",
    "WaitTimeout",
    "WebhookInvalid",
    "audio_outputs",
    "is_over",
    "models",
    "verify_webhook",
]
