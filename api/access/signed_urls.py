"""URLs that need no key, for what cannot send one: `<audio>` elements and `EventSource`.

A signature stands for one API key and one path, which is one kind of resource of one job, and only
for reading. It ends with the key, or after an hour.
"""

import base64
import hashlib
import hmac
import math
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus

from starlette.types import Scope

from api.web.errors import ApiError

PARAMETER: Final = "signature"
VALID_SEC = 3600
_STEP_SEC = 300
"""URLs of one job stay the same for so long, so that players and caches know them again."""
_PATH = re.compile(
    r"/jobs/job_[0-9a-f]{32}/(audio|live|codes|alignment|events|peaks|spectrogram\.png|archive)",
    re.ASCII,
)
_SIGNATURE = re.compile(r"([0-9a-f]{16})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSigner:
    """Signs paths for one API key; `expires_at` is in seconds since 1970."""

    secret: bytes
    key_id: str
    expires_at: int

    def query(self, path: str) -> str:
        """What makes a URL of this path, without a proxy's prefix, one that needs no key."""
        mac = _mac(self.secret, self.key_id, str(self.expires_at), path)
        return f"{PARAMETER}={self.key_id}.{self.expires_at}.{mac}"


def signer_for(key_id: str, secret: bytes) -> UrlSigner:
    """Signs URLs that are good for an hour from now, and at most five minutes more."""
    expires_at = math.ceil((time.time() + VALID_SEC) / _STEP_SEC) * _STEP_SEC
    return UrlSigner(secret=secret, key_id=key_id, expires_at=expires_at)


def take_signature(connection: Scope) -> str | None:
    """The signature in a query, which is taken out of it: no log line and no endpoint sees it."""
    query: bytes = connection["query_string"]
    if not query:
        return None
    kept: list[bytes] = []
    signatures: list[bytes] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        is_signature = unquote_plus(name.decode("latin-1")) == PARAMETER
        (signatures if is_signature else kept).append(value if is_signature else part)
    if not signatures:
        return None
    connection["query_string"] = b"&".join(kept)
    return b"&".join(signatures).decode("latin-1")


def is_signable(path: str, method: str) -> bool:
    """Whether a signature may stand for a key here."""
    return method in ("GET", "HEAD") and _PATH.fullmatch(path) is not None


def signed_key_id(signature: str, path: str, secret: bytes) -> str:
    """The API key that a signature stands for.

    Raises ApiError (401): it is none of ours, is of another path, or has expired.
    """
    match = _SIGNATURE.fullmatch(signature)
    if match is None or not hmac.compare_digest(match[3], _mac(secret, match[1], match[2], path)):
        detail = "This signature is not of this URL: take the URL from `urls` of the job as it is."
        raise _refused("signature_invalid", detail)
    if int(match[2]) < time.time():
        detail = "This signed URL has expired: ask for the job again, its `urls` has new ones."
        raise _refused("signature_expired", detail)
    return match[1]


def _refused(code: str, detail: str) -> ApiError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(HTTPStatus.UNAUTHORIZED, code, detail, headers=headers)


def _mac(secret: bytes, key_id: str, expires_at: str, path: str) -> str:
    digest = hmac.digest(secret, f"{key_id} {expires_at} {path}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
