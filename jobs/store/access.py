"""What shows who asks, besides API keys: sessions of browsers, and the secret that signs URLs.

All API processes share it. Whoever loses the store opens sessions and fetches URLs anew.
"""

import hashlib
import secrets
from typing import cast

from jobs.store.connection import errors_as_store_unavailable
from jobs.store.scripts import KEY_PREFIX, ScriptRunner

_SECRET_KEY = f"{KEY_PREFIX}url_secret"
_SECRET_BYTES = 32


class Access(ScriptRunner):
    """Sessions, each of one API key, and the secret of signed URLs."""

    def open_session(self, key_id: str, *, ttl_sec: int) -> str:
        """A new session of an API key; the word that shows it is stored as a hash only."""
        token = secrets.token_urlsafe(32)
        with errors_as_store_unavailable():
            self._redis.set(_session_key(token), key_id, ex=ttl_sec)
        return token

    def session(self, token: str) -> tuple[str, float] | None:
        """The API key of a session, and for how many seconds more; None when it is over."""
        with errors_as_store_unavailable():
            pipeline = self._redis.pipeline()
            pipeline.get(_session_key(token))
            pipeline.pttl(_session_key(token))
            key_id, left_ms = cast(tuple[str | None, int], pipeline.execute())
        return None if key_id is None else (key_id, max(left_ms, 0) / 1000.0)

    def close_session(self, token: str) -> None:
        """End a session at once, if there is one."""
        with errors_as_store_unavailable():
            self._redis.delete(_session_key(token))

    def url_secret(self) -> bytes:
        """What signed URLs are signed with; made when it is first asked for."""
        with errors_as_store_unavailable():
            known = self._redis.get(_SECRET_KEY)
            if known is None:
                # Of two who make it at once, the first one's stays.
                self._redis.set(_SECRET_KEY, secrets.token_hex(_SECRET_BYTES), nx=True)
                known = self._redis.get(_SECRET_KEY)
        return bytes.fromhex(cast(str, known))


def _session_key(token: str) -> str:
    return f"{KEY_PREFIX}session:{hashlib.sha256(token.encode()).hexdigest()}"
