"""Webhooks: what a job tells its owner's server, in the form of Standard Webhooks.

A message is written in the same atomic step that changes the job
(`jobs/store/lua/common/webhooks.lua`), waits in the store, and is sent by a process of its own
(`python -m jobs.webhooks`), at least once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

WebhookEvent = Literal[
    "job.running", "job.output", "job.succeeded", "job.failed", "job.canceled", "job.expired"
]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
ENDINGS: tuple[WebhookEvent, ...] = ("job.succeeded", "job.failed", "job.canceled", "job.expired")
"""What a job tells unless its owner chose otherwise: that it is over, and how."""

WebhookUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        pattern=r"^https?://[!-~]+$",
        description="Where to say that the job is over; https, and no private address",
        examples=["https://studio.example/hooks/songs"],
    ),
]
WebhookEvents = Annotated[
    tuple[WebhookEvent, ...],
    # Not strict: a JSON array is a list, and only a lax tuple takes one.
    Field(
        strict=False,
        min_length=1,
        max_length=len(WEBHOOK_EVENTS),
        description="Events to send; by default those that end a job",
    ),
]


class Outcome(StrEnum):
    """How an attempt ended. All but `RETRIED` are the end of the message."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    GONE = "gone"
    """The receiver wants no more (410), and gets no more of this job."""
    REFUSED = "refused"
    """The URL leads where no webhook may go."""
    EXHAUSTED = "exhausted"
    """The last attempt failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """One message on its way. `id` is the same at every attempt, so that a receiver knows it again.

    `owner` is the id of the API key whose secret signs it; None where nobody needed one. `level`
    is what became ready (`job.output`), `error` why the job failed. `attempt` counts from 1 and
    tells two claims apart; `claimed_at` is the server's time of this one.
    """

    id: str
    type: str
    job_id: str
    url: str
    owner: str | None
    created_at: datetime
    status: str
    stage: str
    level: str | None
    error: Mapping[str, Any] | None
    attempt: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFigures:
    """`pending` messages wait; `attempts` are counted since the store began."""

    pending: int
    attempts: Mapping[Outcome, int]


def body_of(message: WebhookMessage, public_url: str) -> bytes:
    """The JSON that is sent and signed, the same bytes at every attempt.

    It names the job and says little more: the truth is `GET /jobs/{id}`. `public_url` is what the
    receiver finds the service under; with an empty one `urls` hold paths.
    """
    path = f"{public_url.rstrip('/')}/jobs/{message.job_id}"
    document = {
        "type": message.type,
        "timestamp": message.created_at.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": message.job_id,
            "status": message.status,
            "stage": message.stage,
            "level": message.level,
            "error": message.error,
            "urls": {"self": path, "audio": f"{path}/audio"},
        },
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")
