"""Whether there is room for more: on the disk, and within what one API key may store."""

import shutil
from http import HTTPStatus
from pathlib import Path

from api.dependencies import Services
from api.web.errors import ApiError, storage_failed


def check_room(services: Services, owner: str | None, *, more_bytes: int = 0) -> None:
    """Before an upload or a job is taken. Blocking.

    Raises:
        ApiError: 507, the disk is nearly full, or `owner` has stored as much as a key may.
        StoreUnavailable: nobody can tell now.
    """
    settings = services.settings
    free_bytes = _free_bytes(settings.local_dir)
    if free_bytes - more_bytes < settings.min_free_bytes:
        raise storage_failed()
    limit_bytes = settings.max_stored_bytes_per_key
    if owner is None or not limit_bytes:
        return
    if services.stored_bytes.has_reached(owner, limit_bytes, more_bytes=more_bytes):
        raise ApiError(
            HTTPStatus.INSUFFICIENT_STORAGE,
            "storage_quota_reached",
            f"This API key has used its storage quota of {limit_bytes:,} bytes: delete assets or, "
            "with `permanent=true`, songs first. Songs in the trash count.",
        )


def _free_bytes(folder: Path) -> int:
    """Of the disk that a folder is on, or will be on once it is made."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
