"""API keys: who may ask for what; a file in the data folder holds their hashes, never the keys.

The file can be read when the store is away, so that a service can tell at its start whether anybody
may use it, and losing the store opens no door. Where the file is, keys are needed, even when all
of them were revoked.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from jobs.errors import ApiKeyNotFound, ApiKeysUnreadable

FILE_NAME = "api-keys.json"
_TOKEN = re.compile(r"jbx_([0-9a-f]{16})_[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_FileState = tuple[int, int, int]


class Scope(StrEnum):
    """What a key allows. `admin` allows everything, with the jobs of everybody."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as far as it is kept: `sha256` of the whole word that its owner has."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created_at: datetime


class ApiKeyFile:
    """The keys of one data folder. Made for threads; a change is seen at the next request."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._seen: tuple[_FileState, Mapping[str, ApiKey]] | None = None

    @property
    def exists(self) -> bool:
        """Whether keys were ever made here, and so are needed. Raises ApiKeysUnreadable."""
        return self._state() is not None

    def all_keys(self) -> list[ApiKey]:
        """All keys, by name. Raises ApiKeysUnreadable."""
        return sorted(self._by_id().values(), key=lambda key: key.name)

    def find(self, token: str) -> ApiKey | None:
        """The key that a client shows; None when it is none. Raises ApiKeysUnreadable."""
        match = _TOKEN.fullmatch(token)
        key = self._by_id().get(match[1]) if match is not None else None
        if key is None or not hmac.compare_digest(key.sha256, _sha256(token)):
            return None
        return key

    def with_id(self, key_id: str) -> ApiKey | None:
        """The key of this id, unless it has been revoked. Raises ApiKeysUnreadable."""
        return self._by_id().get(key_id)

    def has(self, key_id: str) -> bool:
        """Whether a key of this id has not been revoked. Raises ApiKeysUnreadable."""
        return key_id in self._by_id()

    def create(self, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
        """A new key, and the word that its owner keeps: it is told once and stored nowhere.

        Raises ValueError for a name that is none or is taken, or without a scope;
        ApiKeysUnreadable; OSError.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a key: 1 to 64 letters, digits, . _ or -")
        chosen = tuple(scope for scope in Scope if scope in set(scopes))
        if not chosen:
            raise ValueError("a key without a scope allows nothing")
        with self._locked():
            kept = self._read()
            if any(key.name == name for key in kept.values()):
                raise ValueError(f"a key is called {name!r} already: revoke it first")
            key_id = secrets.token_hex(8)
            token = f"jbx_{key_id}_{secrets.token_hex(32)}"
            key = ApiKey(
                id=key_id,
                name=name,
                scopes=chosen,
                sha256=_sha256(token),
                created_at=datetime.now(UTC),
            )
            self._write({**kept, key_id: key})
        return key, token

    def revoke(self, name: str) -> None:
        """Forget a key, at once. Raises ApiKeyNotFound, ApiKeysUnreadable, OSError."""
        with self._locked():
            kept = self._read()
            left = {key_id: key for key_id, key in kept.items() if key.name != name}
            if len(left) == len(kept):
                raise ApiKeyNotFound(name)
            self._write(left)

    def _by_id(self) -> Mapping[str, ApiKey]:
        state = self._state()
        if state is None:
            return {}
        seen = self._seen
        if seen is None or seen[0] != state:
            seen = (state, self._read())
            self._seen = seen
        return seen[1]

    def _state(self) -> _FileState | None:
        """What differs between two versions of the file, each of which is a new one."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> dict[str, ApiKey]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))["keys"]
            keys = [_key_of(entry) for entry in entries]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self._path, error) from error
        return {key.id: key for key in keys}

    def _write(self, keys: Mapping[str, ApiKey]) -> None:
        entries = [
            asdict(key) | {"created_at": key.created_at.isoformat()} for key in keys.values()
        ]
        draft = self._path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({"keys": entries}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two who change the file at once change it one after the other."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key_of(entry: Mapping[str, str]) -> ApiKey:
    return ApiKey(
        id=entry["id"],
        name=entry["name"],
        scopes=tuple(Scope(scope) for scope in entry["scopes"]),
        sha256=entry["sha256"],
        created_at=datetime.fromisoformat(entry["created_at"]),
    )


def _unreadable(path: Path, error: Exception) -> ApiKeysUnreadable:
    return ApiKeysUnreadable(f"the API keys in {path} cannot be read: {error}")
