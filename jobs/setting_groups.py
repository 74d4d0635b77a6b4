"""Settings that share an environment variable, by name; needs no pydantic."""

from collections.abc import Mapping

PREFIX = "JUKEBOX_"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "JUKEBOX_LIMITS": (
        *("max_body_bytes", "max_asset_bytes", "max_stored_bytes_per_key", "min_free_bytes"),
        *("max_uploads_per_key", "upload_timeout_sec", "min_upload_bytes_per_sec"),
        *("ingest_timeout_sec", "transcode_timeout_sec", "max_queued", "max_queued_per_key"),
        *("max_running_per_key", "max_posts_per_minute", "max_requests_per_minute"),
        *("max_audio_sec_per_day", "max_streams", "max_streams_per_key", "max_timeout_sec"),
    ),
    "JUKEBOX_RETENTION": (
        *("keep_jobs_sec", "keep_codes_sec", "keep_assets_sec", "keep_trash_sec"),
    ),
    "JUKEBOX_TUNING": (
        *("heartbeat_sec", "reaper_sec", "sweep_sec", "max_attempts", "max_models"),
        *("overlap", "deterministic", "graphs", "cpu_threads", "native_threads"),
        *("cache_dir", "cache_bytes", "storage_patience_sec", "downloads"),
        *("webhook_concurrency", "webhook_timeout_sec", "webhook_retries_sec"),
    ),
}
"""Settings that share a variable: `JUKEBOX_LIMITS=max_queued=50,max_streams=200`."""
GROUP_OF = {field: group for group, fields in GROUPS.items() for field in fields}


class InvalidSettings(Exception):
    """The environment asks for what cannot be; the message names every variable at fault."""


def read_group(group: str, text: str) -> dict[str, str]:
    """The values in `name=value,name=value`, the text of the variable `group`.

    Raises:
        InvalidSettings: a part is not of that form, or its name is unknown or repeated.
    """
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in GROUPS[group]:
            raise InvalidSettings(
                f"{group}: {part!r} is not name=value with one of {', '.join(GROUPS[group])}"
            )
        if name in values:
            raise InvalidSettings(f"{group}: {name} is there twice")
        values[name] = value
    return values


def earlier_variables(*groups: str) -> tuple[str, ...]:
    """Names that the settings in `groups` had in earlier releases, each a variable of its own."""
    return tuple(f"{PREFIX}{name.upper()}" for group in groups for name in GROUPS[group])
