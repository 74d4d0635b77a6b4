"""What the API process takes from its environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.limits import JobLimits
from jobs.record.request import MAX_TIMEOUT_SECONDS
from jobs.settings import InvalidSettings, check_redis_url, settings_faults
from jobs.webhooks.urls import read_hosts

_THIRTY_DAYS_SEC = 30 * 86_400.0
_MAX_KEPT_SEC = 100 * 365 * 86_400.0


class ApiSettings(BaseSettings):
    """Settings of one API process. Variables that other parts read are none of its business."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    redis_url: Annotated[
        str, AfterValidator(check_redis_url), Field(validation_alias="REDIS_URL", repr=False)
    ]
    data_dir: Annotated[Path, Field(validation_alias="JUKEBOX_DATA_DIR")] = Path("data")
    models_dir: Annotated[Path, Field(validation_alias="JUKEBOX_MODELS_DIR")] = Path("models")
    host: Annotated[str, Field(validation_alias="JUKEBOX_HOST", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(validation_alias="JUKEBOX_PORT", ge=0, le=65_535)] = 8000
    log_format: Annotated[Literal["text", "json"], Field(validation_alias="JUKEBOX_LOG_FORMAT")] = (
        "text"
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(validation_alias="JUKEBOX_LOG_LEVEL")
    ] = "INFO"
    max_body_bytes: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_BODY_BYTES", ge=1024, le=64 * 1024 * 1024)
    ] = 256 * 1024
    max_asset_bytes: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_ASSET_BYTES", ge=1024, le=1024 * 1024 * 1024)
    ] = 64 * 1024 * 1024
    max_stored_bytes_per_key: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_STORED_BYTES_PER_KEY", ge=0)
    ] = 50_000_000_000
    min_free_bytes: Annotated[int, Field(validation_alias="JUKEBOX_MIN_FREE_BYTES", ge=0)] = (
        500_000_000
    )
    max_uploads_per_key: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_UPLOADS_PER_KEY", ge=0)
    ] = 4
    upload_timeout_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_UPLOAD_TIMEOUT_SEC", gt=0.0, le=86_400.0)
    ] = 600.0
    min_upload_bytes_per_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_MIN_UPLOAD_BYTES_PER_SEC", gt=0.0, le=1e9)
    ] = 16_384.0
    ingest_timeout_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_INGEST_TIMEOUT_SEC", gt=0.0, le=3600.0)
    ] = 60.0
    transcode_timeout_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_TRANSCODE_TIMEOUT_SEC", gt=0.0, le=3600.0)
    ] = 120.0
    max_queued: Annotated[int, Field(validation_alias="JUKEBOX_MAX_QUEUED", ge=0)] = 10_000
    max_queued_per_key: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_QUEUED_PER_KEY", ge=0)
    ] = 100
    max_running_per_key: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_RUNNING_PER_KEY", ge=0)
    ] = 0
    max_posts_per_minute: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_POSTS_PER_MINUTE", ge=0, le=60_000)
    ] = 120
    webhooks: Annotated[Literal["on", "off"], Field(validation_alias="JUKEBOX_WEBHOOKS")] = "off"
    webhook_allowed_hosts: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(read_hosts),
        Field(validation_alias="JUKEBOX_WEBHOOK_ALLOWED_HOSTS"),
    ] = frozenset()

    max_requests_per_minute: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_REQUESTS_PER_MINUTE", ge=0, le=1_000_000)
    ] = 3000
    max_audio_sec_per_day: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_AUDIO_SEC_PER_DAY", ge=0)
    ] = 0
    max_streams: Annotated[int, Field(validation_alias="JUKEBOX_MAX_STREAMS", ge=0)] = 1000
    max_streams_per_key: Annotated[
        int, Field(validation_alias="JUKEBOX_MAX_STREAMS_PER_KEY", ge=0)
    ] = 100
    max_timeout_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_MAX_TIMEOUT_SEC", ge=0.0, le=MAX_TIMEOUT_SECONDS)
    ] = 0.0
    keep_jobs_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_KEEP_JOBS_SEC", ge=0.0, le=_MAX_KEPT_SEC)
    ] = _THIRTY_DAYS_SEC
    keep_codes_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_KEEP_CODES_SEC", ge=0.0, le=_MAX_KEPT_SEC)
    ] = 0.0
    keep_assets_sec: Annotated[
        float, Field(validation_alias="JUKEBOX_KEEP_ASSETS_SEC", ge=0.0, le=_MAX_KEPT_SEC)
    ] = _THIRTY_DAYS_SEC
    sweep_sec: Annotated[float, Field(validation_alias="JUKEBOX_SWEEP_SEC", gt=0.0, le=3600.0)] = (
        5.0
    )

    @property
    def sends_webhooks(self) -> bool:
        """Whether jobs may name a `webhook_url`."""
        return self.webhooks == "on"

    @property
    def job_limits(self) -> JobLimits:
        """What the store checks before it queues a job."""
        return JobLimits(
            max_queued=self.max_queued,
            max_queued_per_owner=self.max_queued_per_key,
            max_running_per_owner=self.max_running_per_key,
            max_audio_sec_per_owner=self.max_audio_sec_per_day,
        )


def read_settings() -> ApiSettings:
    """Settings from the environment.

    Raises:
        InvalidSettings: a variable is missing or has an impossible value.
    """
    try:
        return ApiSettings()
    except ValidationError as error:
        raise InvalidSettings(f"The API cannot start. {settings_faults(error)}") from error
