"""What clients have sent to begin songs with: sound and codes, a folder for each, for good or none.

Jobs copy what they need, so that an asset may be deleted at any time. `Assets` is what the service
asks for; `LocalAssets` keeps them in a folder, `bucket_assets.py` in object storage.
"""

import json
import logging
import os
import re
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal

from jobs.errors import AssetNotFound
from jobs.files.private_folder import make_private_folder

log = logging.getLogger(__name__)

ABANDONED_AFTER_SEC = 3600.0
"""A draft that nobody finished in this time belongs to a process that died."""

AssetKind = Literal["audio", "codes"]

_ASSET_ID = re.compile(r"asset_[0-9a-f]{32}", re.ASCII)
_DRAFT_PREFIX = ".draft-"
FACTS_NAME = "asset.json"
CONTENT_NAMES: Mapping[AssetKind, str] = {"audio": "sound", "codes": "codes.safetensors"}
OLD_SOUND_NAME = "sound.wav"
"""Until 0.1 sound was stored decoded, as 16-bit mono WAV."""


def new_asset_id() -> str:
    """An id that nobody can guess, safe in URLs and file names."""
    return f"asset_{secrets.token_hex(16)}"


def is_asset_id(text: str) -> bool:
    """Whether `text` could have come from `new_asset_id`; asked before any look-up."""
    return _ASSET_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file that was sent.

    `sha256` and `num_bytes` are of the file as it was sent. Sound is stored as it was sent, codes
    as int32. Fields that the kind has no use for are None: `num_samples`,
    `num_tokens` (per song, by level) and `model` are of codes, the others of sound. `owner` is the
    id of the API key that sent it; None where nobody needed one.
    """

    id: str
    kind: AssetKind
    sha256: str
    num_bytes: int
    created_at: datetime
    audio_format: str | None = None
    duration_sec: float | None = None
    sample_rate_hz: int | None = None
    num_channels: int | None = None
    num_samples: int | None = None
    num_tokens: Mapping[str, int] | None = None
    model: str | None = None
    owner: str | None = None


class Assets(ABC):
    """All assets. Every method may raise OSError when the storage refuses."""

    @abstractmethod
    def draft(self) -> AbstractContextManager[Path]:
        """A folder to put a new asset together in; at the end it is gone, unless it was kept."""

    @abstractmethod
    def keep(self, content: Path, asset: Asset) -> None:
        """Make an asset of a file in a draft's folder. Raises ValueError for an id that is none."""

    @abstractmethod
    def get(self, asset_id: str) -> Asset:
        """What is known of an asset. Raises AssetNotFound."""

    @abstractmethod
    def path(self, asset: Asset) -> Path:
        """Where its sound or its codes lie. Raises AssetNotFound when it was deleted meanwhile."""

    @abstractmethod
    def stored_bytes(self, asset_id: str) -> int:
        """What an asset takes up. Raises AssetNotFound."""

    @abstractmethod
    def all_stored_bytes(self) -> dict[str, int]:
        """What each asset takes up, in no order."""

    @abstractmethod
    def delete(self, asset_id: str) -> None:
        """Forget an asset and its file, at once and altogether. Raises AssetNotFound."""

    @abstractmethod
    def delete_older(self, kept_sec: float) -> list[str]:
        """Forget the assets that came longer ago than this; returns their ids.

        One that cannot be removed stays, and keeps none of the others.
        """


def asset_to_json(asset: Asset) -> str:
    """An asset as it is stored. Raises ValueError for an id that is none."""
    if not is_asset_id(asset.id):
        raise ValueError(f"{asset.id!r} was not made by new_asset_id")
    return json.dumps(asdict(asset) | {"created_at": asset.created_at.isoformat()})


def asset_from_json(text: str | bytes) -> Asset:
    """An asset as it was stored, by this release or another."""
    facts = json.loads(text)
    # A newer release may have written more of it.
    known = {name: facts[name] for name in facts.keys() & _FIELDS}
    return Asset(**{**known, "created_at": datetime.fromisoformat(facts["created_at"])})


class LocalAssets(Assets):
    """Assets beneath `root`. A folder gets its name when everything in it is on disk."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder to put a new asset together in; at the end it is gone, unless it was kept."""
        make_private_folder(self._root)
        self._remove_abandoned()
        folder = self._root / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o750)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, content: Path, asset: Asset) -> None:
        """Make an asset of a file in a draft's folder. Raises ValueError for an id that is none."""
        facts = asset_to_json(asset)
        with self.draft() as folder:
            kept = folder / CONTENT_NAMES[asset.kind]
            content.replace(kept)
            (folder / FACTS_NAME).write_text(facts, encoding="utf-8")
            for path in (kept, folder / FACTS_NAME, folder):
                _sync(path)
            folder.rename(self._root / asset.id)
        _sync(self._root)

    def get(self, asset_id: str) -> Asset:
        """What is known of an asset. Raises AssetNotFound."""
        path = self._folder(asset_id) / FACTS_NAME
        try:
            return asset_from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise AssetNotFound(asset_id) from None

    def path(self, asset: Asset) -> Path:
        """Where its sound or its codes lie. Raises AssetNotFound when it was deleted meanwhile."""
        folder = self._folder(asset.id)
        path = folder / CONTENT_NAMES[asset.kind]
        if asset.kind == "audio" and not path.is_file():
            path = folder / OLD_SOUND_NAME
        if not path.is_file():
            raise AssetNotFound(asset.id)
        return path

    def stored_bytes(self, asset_id: str) -> int:
        """What an asset takes on the disk. Raises AssetNotFound."""
        try:
            return sum(file.stat().st_size for file in os.scandir(self._folder(asset_id)))
        except FileNotFoundError:
            raise AssetNotFound(asset_id) from None

    def all_stored_bytes(self) -> dict[str, int]:
        """What each asset takes up, in no order."""
        found = {}
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._root):
                if is_asset_id(entry.name):
                    with suppress(AssetNotFound):
                        found[entry.name] = self.stored_bytes(entry.name)
        return found

    def delete(self, asset_id: str) -> None:
        """Forget an asset and its file, at once and altogether. Raises AssetNotFound."""
        doomed = self._root / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        try:
            self._folder(asset_id).rename(doomed)
        except FileNotFoundError:
            raise AssetNotFound(asset_id) from None
        shutil.rmtree(doomed, ignore_errors=True)

    def delete_older(self, kept_sec: float) -> list[str]:
        """Forget the assets that came longer ago than this; returns their ids.

        One that cannot be removed stays, and keeps none of the others.
        """
        gone = []
        for folder in self._root.glob("asset_*"):
            try:
                if time.time() - (folder / FACTS_NAME).stat().st_mtime > kept_sec:
                    self.delete(folder.name)
                    gone.append(folder.name)
            except (FileNotFoundError, AssetNotFound):
                continue
            except OSError as error:
                log.warning("an asset stays for now: %s", error, extra={"asset_id": folder.name})
        return gone

    def _folder(self, asset_id: str) -> Path:
        if not is_asset_id(asset_id):
            raise AssetNotFound(asset_id[:64])
        return self._root / asset_id

    def _remove_abandoned(self) -> None:
        for folder in self._root.glob(f"{_DRAFT_PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > ABANDONED_AFTER_SEC:
                    shutil.rmtree(folder, ignore_errors=True)


_FIELDS = frozenset(field.name for field in fields(Asset))


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
