"""API keys: who may ask for what; a file in the data folder holds their hashes, never the keys.

The file can be read when the store is away, so that a service can tell at its start whether anybody
may use it, and losing the store opens no door. Where the file is, keys are needed, even when all
of them were revoked.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from jobs.errors import ApiKeyNotFound, ApiKeysUnreadable
from jobs.files.documents import open_documents
from jukebox_core.buckets import Place

FILE_NAME = "api-keys.json"
_TOKEN = re.compile(r"jbx_([0-9a-f]{16})_[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


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
    """The keys of one data folder. Made for threads.

    A change is seen at the next request; where the folder lies in a bucket, a second later.
    """

    def __init__(self, data_dir: Place) -> None:
        self._documents = open_documents(data_dir)
        self._seen: tuple[Hashable, Mapping[str, ApiKey]] | None = None

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
        key_id = secrets.token_hex(8)
        token = f"jbx_{key_id}_{secrets.token_hex(32)}"
        key = ApiKey(
            id=key_id,
            name=name,
            scopes=chosen,
            sha256=_sha256(token),
            created_at=datetime.now(UTC),
        )

        def add(content: bytes | None) -> bytes:
            kept = self._parsed(content)
            if any(each.name == name for each in kept.values()):
                raise ValueError(f"a key is called {name!r} already: revoke it first")
            return _to_json({**kept, key_id: key})

        self._documents.change(FILE_NAME, add)
        return key, token

    def revoke(self, name: str) -> None:
        """Forget a key, at once. Raises ApiKeyNotFound, ApiKeysUnreadable, OSError."""

        def remove(content: bytes | None) -> bytes:
            kept = self._parsed(content)
            left = {key_id: key for key_id, key in kept.items() if key.name != name}
            if len(left) == len(kept):
                raise ApiKeyNotFound(name)
            return _to_json(left)

        self._documents.change(FILE_NAME, remove)

    def _by_id(self) -> Mapping[str, ApiKey]:
        state = self._state()
        if state is None:
            return {}
        seen = self._seen
        if seen is None or seen[0] != state:
            seen = (state, self._read())
            self._seen = seen
        return seen[1]

    def _state(self) -> Hashable | None:
        """What differs between two versions of the file, each of which is a new one."""
        try:
            return self._documents.version(FILE_NAME)
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self) -> dict[str, ApiKey]:
        try:
            content = self._documents.read(FILE_NAME)
        except OSError as error:
            raise self._unreadable(error) from error
        return self._parsed(content)

    def _parsed(self, content: bytes | None) -> dict[str, ApiKey]:
        if content is None:
            return {}
        try:
            keys = [_key_of(entry) for entry in json.loads(content)["keys"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error
        return {key.id: key for key in keys}

    def _unreadable(self, error: Exception) -> ApiKeysUnreadable:
        where = self._documents.where(FILE_NAME)
        return ApiKeysUnreadable(f"the API keys in {where} cannot be read: {error}")


def _to_json(keys: Mapping[str, ApiKey]) -> bytes:
    entries = [asdict(key) | {"created_at": key.created_at.isoformat()} for key in keys.values()]
    return json.dumps({"keys": entries}, indent=1).encode()


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
