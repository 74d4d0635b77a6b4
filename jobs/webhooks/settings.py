"""What the webhook process takes from its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from jobs.settings import ServiceSettings, check_public_url, default_health_file, split_words
from jobs.webhooks.urls import read_hosts

_MINUTE_SEC, _HOUR_SEC = 60.0, 3600.0
RETRIES_AFTER_SEC = (
    5.0,
    _MINUTE_SEC,
    5 * _MINUTE_SEC,
    30 * _MINUTE_SEC,
    2 * _HOUR_SEC,
    5 * _HOUR_SEC,
    10 * _HOUR_SEC,
    10 * _HOUR_SEC,
)
"""Eight more attempts in a little over a day, as Standard Webhooks advises."""
MAX_RETRY_AFTER_SEC = 24 * _HOUR_SEC


class WebhookSettings(ServiceSettings):
    """Settings of one webhook process.

    `webhook_concurrency` messages are on their way at the same time, half as many of one API key
    at most. An attempt takes no longer than `webhook_timeout_sec`, whatever the receiver does.
    `webhook_retries_sec` are the waits between attempts, each made up to a fifth shorter or longer
    by chance.
    """

    refusal = "Webhooks cannot be sent."

    webhook_allowed_hosts: Annotated[frozenset[str], NoDecode, BeforeValidator(read_hosts)] = (
        frozenset()
    )
    public_url: Annotated[str, AfterValidator(check_public_url)] = ""
    webhook_concurrency: Annotated[int, Field(ge=2, le=256)] = 16
    webhook_timeout_sec: Annotated[float, Field(gt=0, le=60)] = 15.0
    webhook_retries_sec: Annotated[
        tuple[Annotated[float, Field(gt=0, le=MAX_RETRY_AFTER_SEC)], ...],
        NoDecode,
        BeforeValidator(split_words),
        Field(max_length=20),
    ] = RETRIES_AFTER_SEC
    health_file: Path = Field(
        # Beside that of a worker on the same machine, which deletes its own when it ends.
        default_factory=lambda: default_health_file().with_suffix(".webhooks"),
    )
