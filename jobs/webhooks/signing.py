"""Signing webhooks: who knows the secret knows that a message is ours, and new.

Each API key has a secret of its own, so that one customer cannot sign for another. All are made
from the root in one file of the data folder, which API and webhook process share; nothing else is
kept.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import SecretsUnreadable

FILE_NAME = "webhook-roots"
PREFIX = "whsec_"
_ROOT_BYTES = 32
_MAX_ROOTS = 2


class WebhookSecrets:
    """The secrets of one data folder. The file is made when it is first needed."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME

    def of(self, owner: str | None) -> tuple[str, ...]:
        """The secrets of one API key (None: where none is needed), the newest first.

        There are two after `rotate`, and messages are signed with both. Raises SecretsUnreadable.
        """
        return tuple(_derive(root, owner) for root in self._roots())

    def rotate(self) -> None:
        """Give everybody a new secret; the one before stays good until this is done again.

        Raises SecretsUnreadable.
        """
        with self._locked():
            self._write([secrets.token_bytes(_ROOT_BYTES), *self._read()][:_MAX_ROOTS])

    def _roots(self) -> list[bytes]:
        roots = self._read()
        if roots:
            return roots
        with self._locked():
            if not self._read():
                self._write([secrets.token_bytes(_ROOT_BYTES)])
        return self._read()

    def _read(self) -> list[bytes]:
        """No roots when there is no file. Raises SecretsUnreadable."""
        try:
            roots = [bytes.fromhex(line) for line in self._path.read_text("ascii").splitlines()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise _unreadable(self._path, error) from error
        if not roots or any(len(root) != _ROOT_BYTES for root in roots):
            raise _unreadable(self._path, ValueError("it is damaged"))
        return roots

    def _write(self, roots: Sequence[bytes]) -> None:
        draft = self._path.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.writelines(f"{root.hex()}\n" for root in roots)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Of two who make the file at once, the second finds it made."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_suffix(".lock").open("w")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def sign(secrets_of_owner: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, as Standard Webhooks 1.0 says.

    `timestamp` is in whole seconds since 1970.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, content)}" for secret in secrets_of_owner)


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _derive(root: bytes, owner: str | None) -> str:
    text = f"webhook secret of {owner or 'anyone'}"
    return PREFIX + base64.b64encode(hmac.digest(root, text.encode(), hashlib.sha256)).decode()


def _unreadable(path: Path, error: Exception) -> SecretsUnreadable:
    return SecretsUnreadable(f"the webhook secrets in {path} cannot be used: {error}")
