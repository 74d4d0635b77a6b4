"""What the API process takes from its environment."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from api.access.cors import read_origins
from api.web.proxy import prefix_of_url
from jobs.limits import JobLimits
from jobs.record.request import MAX_TIMEOUT_SECONDS
from jobs.settings import ModelSettings, check_public_url
from jobs.webhooks.urls import read_hosts

_THIRTY_DAYS_SEC = 30 * 86_400.0
_MAX_KEPT_SEC = 100 * 365 * 86_400.0


def _check_public_url(url: str) -> str:
    checked = check_public_url(url)
    prefix_of_url(checked)
    return checked


class ApiSettings(ModelSettings):
    """Settings of one API process."""

    refusal = "The API cannot start."

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    public_url: Annotated[str, AfterValidator(_check_public_url)] = ""
    cors_origins: Annotated[frozenset[str], NoDecode, BeforeValidator(read_origins)] = frozenset()
    webhooks: Literal["on", "off"] = "off"
    webhook_allowed_hosts: Annotated[frozenset[str], NoDecode, BeforeValidator(read_hosts)] = (
        frozenset()
    )

    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 256 * 1024
    max_asset_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024 * 1024)] = 64 * 1024 * 1024
    max_stored_bytes_per_key: Annotated[int, Field(ge=0)] = 50_000_000_000
    min_free_bytes: Annotated[int, Field(ge=0)] = 500_000_000
    max_uploads_per_key: Annotated[int, Field(ge=0)] = 4
    upload_timeout_sec: Annotated[float, Field(gt=0.0, le=86_400.0)] = 600.0
    min_upload_bytes_per_sec: Annotated[float, Field(gt=0.0, le=1e9)] = 16_384.0
    ingest_timeout_sec: Annotated[float, Field(gt=0.0, le=3600.0)] = 60.0
    transcode_timeout_sec: Annotated[float, Field(gt=0.0, le=3600.0)] = 120.0
    max_queued: Annotated[int, Field(ge=0)] = 10_000
    max_queued_per_key: Annotated[int, Field(ge=0)] = 100
    max_running_per_key: Annotated[int, Field(ge=0)] = 0
    max_posts_per_minute: Annotated[int, Field(ge=0, le=60_000)] = 120
    max_requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 3000
    max_audio_sec_per_day: Annotated[int, Field(ge=0)] = 0
    max_streams: Annotated[int, Field(ge=0)] = 1000
    max_streams_per_key: Annotated[int, Field(ge=0)] = 100
    max_timeout_sec: Annotated[float, Field(ge=0.0, le=MAX_TIMEOUT_SECONDS)] = 0.0

    keep_jobs_sec: Annotated[float, Field(ge=0.0, le=_MAX_KEPT_SEC)] = _THIRTY_DAYS_SEC
    keep_codes_sec: Annotated[float, Field(ge=0.0, le=_MAX_KEPT_SEC)] = 0.0
    keep_assets_sec: Annotated[float, Field(ge=0.0, le=_MAX_KEPT_SEC)] = _THIRTY_DAYS_SEC
    keep_trash_sec: Annotated[float, Field(ge=0.0, le=_MAX_KEPT_SEC)] = 3600.0
    sweep_sec: Annotated[float, Field(gt=0.0, le=3600.0)] = 5.0
    downloads: Literal["stream", "redirect"] = "stream"

    @property
    def trusted_proxies(self) -> str:
        """Addresses and networks of proxies whose headers are believed: uvicorn's own variable."""
        return os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")

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
