"""The promise behind `Idempotency-Key`: one key, one job, however often a request arrives."""

import hashlib
from dataclasses import dataclass

KEPT_SEC = 24 * 3600.0
"""How long a key is remembered."""
ANYONE = "anyone"
"""The caller, where callers are not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A client's own name for one request; `caller` keeps the keys of two clients apart.

    `request_sha256` tells whether the same key comes with the same request. `previous_sha256` is
    the hash that the previous release gave to the same request, and counts as well.
    """

    caller: str
    key: str
    request_sha256: str
    previous_sha256: str = ""

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of caller and key, so that any text can be a name in the store."""
        return hashlib.sha256(f"{self.caller}\n{self.key}".encode()).hexdigest()
