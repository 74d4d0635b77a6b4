"""What the webhook process takes from its environment."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.settings import (
    InvalidSettings,
    check_redis_url,
    default_health_file,
    settings_faults,
    split_words,
)
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


def _check_public_url(url: str) -> str:
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise ValueError("must be the http or https URL that the service is found under")
    return url.rstrip("/")


class WebhookSettings(BaseSettings):
    """Settings of one webhook process.

    `concurrency` messages are on their way at the same time, half as many of one API key at most.
    An attempt takes no longer than `timeout_sec`, whatever the receiver does. `retries_after_sec`
    are the waits between attempts, each made up to a fifth shorter or longer by chance.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    redis_url: Annotated[
        str, AfterValidator(check_redis_url), Field(validation_alias="REDIS_URL", repr=False)
    ]
    data_dir: Annotated[Path, Field(validation_alias="JUKEBOX_DATA_DIR")] = Path("data")
    log_format: Annotated[Literal["text", "json"], Field(validation_alias="JUKEBOX_LOG_FORMAT")] = (
        "text"
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(validation_alias="JUKEBOX_LOG_LEVEL")
    ] = "INFO"
    allowed_hosts: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(read_hosts),
        Field(validation_alias="JUKEBOX_WEBHOOK_ALLOWED_HOSTS"),
    ] = frozenset()
    public_url: Annotated[
        str, AfterValidator(_check_public_url), Field(validation_alias="JUKEBOX_PUBLIC_URL")
    ] = ""
    concurrency: Annotated[
        int, Field(validation_alias="JUKEBOX_WEBHOOK_CONCURRENCY", ge=2, le=256)
    ] = 16
    timeout_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_WEBHOOK_TIMEOUT_SEC", gt=0, le=60)
    ] = 15.0
    retries_after_sec: Annotated[
        tuple[Annotated[float, Field(gt=0, le=MAX_RETRY_AFTER_SEC)], ...],
        NoDecode,
        BeforeValidator(split_words),
        Field(validation_alias="JUKEBOX_WEBHOOK_RETRIES_SEC", max_length=20),
    ] = RETRIES_AFTER_SEC
    health_file: Path = Field(
        validation_alias="JUKEBOX_HEALTH_FILE",
        # Beside that of a worker on the same machine, which deletes its own when it ends.
        default_factory=lambda: default_health_file().with_suffix(".webhooks"),
    )


def read_settings() -> WebhookSettings:
    """Settings from the environment.

    Raises:
        InvalidSettings: a variable is missing or has an impossible value.
    """
    try:
        return WebhookSettings()
    except ValidationError as error:
        raise InvalidSettings(f"Webhooks cannot be sent. {settings_faults(error)}") from error
