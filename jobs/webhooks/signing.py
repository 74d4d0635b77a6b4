"""Signing webhooks: who knows the secret knows that a message is ours, and new.

Each API key has a secret of its own, so that one customer cannot sign for another. All are made
from the root in one file of the data folder, which API and webhook process share; nothing else is
kept.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

from jobs.errors import SecretsUnreadable
from jobs.files.documents import open_documents
from jukebox_core.buckets import Place

FILE_NAME = "webhook-roots"
PREFIX = "whsec_"
_ROOT_BYTES = 32
_MAX_ROOTS = 2


class WebhookSecrets:
    """The secrets of one data folder. The file is made when it is first needed."""

    def __init__(self, data_dir: Place) -> None:
        self._documents = open_documents(data_dir)

    def of(self, owner: str | None) -> tuple[str, ...]:
        """The secrets of one API key (None: where none is needed), the newest first.

        There are two after `rotate`, and messages are signed with both. Raises SecretsUnreadable.
        """
        return tuple(_derive(root, owner) for root in self._roots())

    def rotate(self) -> None:
        """Give everybody a new secret; the one before stays good until this is done again.

        Raises SecretsUnreadable.
        """
        self._change(
            lambda content: [secrets.token_bytes(_ROOT_BYTES), *self._parsed(content)][:_MAX_ROOTS]
        )

    def _roots(self) -> list[bytes]:
        roots = self._read()
        if roots:
            return roots
        # Of two who make the file at once, the second finds it made.
        self._change(lambda content: self._parsed(content) or [secrets.token_bytes(_ROOT_BYTES)])
        return self._read()

    def _read(self) -> list[bytes]:
        """No roots when there is no file. Raises SecretsUnreadable."""
        try:
            if self._documents.version(FILE_NAME) is None:
                return []
            return self._parsed(self._documents.read(FILE_NAME))
        except OSError as error:
            raise self._unreadable(error) from error

    def _parsed(self, content: bytes | None) -> list[bytes]:
        if content is None:
            return []
        try:
            roots = [bytes.fromhex(line) for line in content.decode("ascii").splitlines()]
        except ValueError as error:
            raise self._unreadable(error) from error
        if not roots or any(len(root) != _ROOT_BYTES for root in roots):
            raise self._unreadable(ValueError("it is damaged"))
        return roots

    def _change(self, change: Callable[[bytes | None], Sequence[bytes]]) -> None:
        def content_after(content: bytes | None) -> bytes:
            return "".join(f"{root.hex()}\n" for root in change(content)).encode("ascii")

        try:
            self._documents.change(FILE_NAME, content_after)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SecretsUnreadable:
        where = self._documents.where(FILE_NAME)
        return SecretsUnreadable(f"the webhook secrets in {where} cannot be used: {error}")


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
