"""What the service grants a job: how long it may take, how much it may be, how long it stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.settings import ApiSettings
from api.web.errors import invalid_field
from jobs.files.assets import Asset
from jobs.record.bodies import AnyBody
from jobs.record.job import Job


def within_time(settings: ApiSettings, body: AnyBody) -> AnyBody:
    """The body with the longest timeout there is, unless it has its own. Raises InvalidRequest."""
    longest_sec = settings.max_timeout_sec
    if not longest_sec:
        return body
    if body.timeout_seconds is None:
        return body.model_copy(update={"timeout_seconds": longest_sec})
    if body.timeout_seconds > longest_sec:
        sentence = f"here a job may take {longest_sec:g} seconds at most"
        raise invalid_field("body", ["timeout_seconds"], sentence)
    return body


def granted(settings: ApiSettings, job: Job, owner: str | None) -> Job:
    """The record with its owner and the time that it is kept.

    Raises InvalidRequest for more music than its owner may have on any day.
    """
    longest_sec, wanted_sec = settings.max_audio_sec_per_day, job.drawn_audio_sec
    if owner is not None and 0 < longest_sec < wanted_sec:
        field = "num_samples" if job.request.duration_seconds is None else "duration_seconds"
        sentence = f"an API key may ask for {longest_sec} seconds of music a day, and these are "
        raise invalid_field("body", [field], f"{sentence}{wanted_sec:.6g}, all takes together")
    return replace(
        job,
        owner=owner,
        kept_sec=settings.keep_jobs_sec or None,
        codes_kept_sec=settings.keep_codes_sec or None,
    )


def asset_expires_at(settings: ApiSettings, asset: Asset) -> datetime | None:
    """When an asset is forgotten; None: never."""
    if not settings.keep_assets_sec:
        return None
    return asset.created_at + timedelta(seconds=settings.keep_assets_sec)


def are_codes_expired(job: Job) -> bool:
    """Whether there were codes to give, and they were kept for long enough."""
    moment = job.codes_expire_at
    return job.codes_name is None and moment is not None and moment <= datetime.now(UTC)
