"""Assets in object storage. What is known of one is written last and deleted first."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import AssetNotFound
from jobs.files.assets import (
    CONTENT_NAMES,
    FACTS_NAME,
    OLD_SOUND_NAME,
    Asset,
    Assets,
    asset_from_json,
    asset_to_json,
    is_asset_id,
)
from jobs.files.local_cache import LocalCache
from jukebox_core.buckets import Bucket, StoredObject

log = logging.getLogger(__name__)

ABANDONED_AFTER_SEC = 86_400.0
"""Content that nobody made an asset of in this time, by whosever clock, belongs to none."""

_FOLDER = "assets"


class BucketAssets(Assets):
    """Assets below `assets/` in a bucket."""

    def __init__(self, bucket: Bucket, cache: LocalCache) -> None:
        self._bucket, self._cache = bucket, cache

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder of this machine to put a new asset together in; at the end it is gone."""
        with self._cache.scratch() as folder:
            yield folder

    def keep(self, content: Path, asset: Asset) -> None:
        """Make an asset of a file in a draft's folder. Raises ValueError for an id that is none."""
        facts = asset_to_json(asset)
        key = _key(asset.id, CONTENT_NAMES[asset.kind])
        stored = self._bucket.upload(key, content)
        self._bucket.write(_key(asset.id, FACTS_NAME), facts.encode())
        self._cache.take(content, key, stored.etag)

    def get(self, asset_id: str) -> Asset:
        """What is known of an asset. Raises AssetNotFound."""
        try:
            return asset_from_json(self._bucket.read(_key(asset_id, FACTS_NAME))[0])
        except FileNotFoundError:
            raise AssetNotFound(asset_id) from None

    def path(self, asset: Asset) -> Path:
        """A copy on this machine. Raises AssetNotFound when it was deleted meanwhile."""
        names = [CONTENT_NAMES[asset.kind], *([OLD_SOUND_NAME] if asset.kind == "audio" else [])]
        for name in names:
            try:
                stored = self._bucket.head(_key(asset.id, name))
                return self._cache.copy_of(self._bucket, stored)
            except FileNotFoundError:
                continue
        self._cache.forget(_key(asset.id))
        raise AssetNotFound(asset.id)

    def stored_bytes(self, asset_id: str) -> int:
        """What an asset takes up. Raises AssetNotFound."""
        found = [*self._bucket.below(_key(asset_id))]
        if not _is_whole(found):
            raise AssetNotFound(asset_id)
        return sum(each.num_bytes for each in found)

    def all_stored_bytes(self) -> dict[str, int]:
        """What each asset takes up, in no order."""
        return {
            asset_id: sum(each.num_bytes for each in objects)
            for asset_id, objects in self._all().items()
            if _is_whole(objects)
        }

    def delete(self, asset_id: str) -> None:
        """Forget an asset and its file, at once and altogether. Raises AssetNotFound."""
        found = [*self._bucket.below(_key(asset_id))]
        if not _is_whole(found):
            raise AssetNotFound(asset_id)
        self._remove(asset_id, found)

    def delete_older(self, kept_sec: float) -> list[str]:
        """Forget the assets that came longer ago than this; returns their ids.

        One that cannot be removed stays, and keeps none of the others. What a process left that
        died while it wrote or deleted one goes too.
        """
        gone, now = [], time.time()
        for asset_id, objects in self._all().items():
            is_whole = _is_whole(objects)
            limit_sec = kept_sec if is_whole else ABANDONED_AFTER_SEC
            if now - max(each.changed_at for each in objects) <= limit_sec:
                continue
            try:
                self._remove(asset_id, objects)
            except OSError as error:
                log.warning("an asset stays for now: %s", error, extra={"asset_id": asset_id})
                continue
            if is_whole:
                gone.append(asset_id)
        return gone

    def _all(self) -> dict[str, list[StoredObject]]:
        found: dict[str, list[StoredObject]] = {}
        for each in self._bucket.below(_FOLDER):
            asset_id = each.key.removeprefix(f"{_FOLDER}/").partition("/")[0]
            if is_asset_id(asset_id):
                found.setdefault(asset_id, []).append(each)
        return found

    def _remove(self, asset_id: str, objects: list[StoredObject]) -> None:
        facts = _key(asset_id, FACTS_NAME)
        self._bucket.delete([facts])
        self._bucket.delete([each.key for each in objects if each.key != facts])
        self._cache.forget(_key(asset_id))


def _is_whole(objects: list[StoredObject]) -> bool:
    return any(each.key.endswith(f"/{FACTS_NAME}") for each in objects)


def _key(asset_id: str, name: str | None = None) -> str:
    """Raises AssetNotFound for an id that is none."""
    if not is_asset_id(asset_id):
        raise AssetNotFound(asset_id[:64])
    return f"{_FOLDER}/{asset_id}" if name is None else f"{_FOLDER}/{asset_id}/{name}"
