"""The connection to a bucket: the library, the server and how long a request may take."""

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jukebox_core.buckets.errors import reason
from jukebox_core.buckets.place import BucketUrl
from jukebox_core.errors import BucketError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_REQUEST_SEC = 60.0
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
_ENDPOINT = re.compile(r"https?://(?!/)[^\s?#@\\]+", re.ASCII)


def open_store(url: BucketUrl, patience_sec: float) -> "ObjectStore":
    """A store that repeats requests for `patience_sec`. Raises BucketError, in words."""
    obstore_library()
    _check_endpoints()
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    # A server without TLS has to be named in the environment, so somebody means it.
    allow_http = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    try:
        return from_url(
            url.url,
            client_options={
                "allow_http": allow_http,
                "connect_timeout": "5s",
                # A server that accepts a connection and then is silent is away, too.
                "read_timeout": timedelta(seconds=min(patience_sec, _REQUEST_SEC)),
                "timeout": timedelta(seconds=_REQUEST_SEC),
            },
            retry_config={
                "max_retries": 100,
                "retry_timeout": timedelta(seconds=patience_sec),
                "backoff": {"max_backoff": timedelta(seconds=5)},
            },
        )
    except (BaseError, ValueError) as error:
        raise BucketError(f"{url} cannot be used: {reason(error)}") from error


def _check_endpoints() -> None:
    """Refuse, in words, what obstore panics at. Raises BucketError."""
    for name in _ENDPOINTS:
        text = os.environ.get(name, "")
        if text and not _ENDPOINT.fullmatch(text):
            raise BucketError(
                f"{name} is no URL of a server: write https://HOST or https://HOST:PORT, with "
                "http:// only for a server without TLS"
            )


def obstore_library() -> Any:  # noqa: ANN401
    """The library, imported where it is first used. Raises BucketError where it is missing."""
    try:
        import obstore
    except ImportError as error:
        raise BucketError(
            "buckets need the library obstore: pip install 'jukebox-service[bucket]'"
        ) from error
    return obstore
