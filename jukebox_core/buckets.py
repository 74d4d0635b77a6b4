"""Object storage: objects below a URL at S3, Google Cloud Storage, Azure or a compatible server.

`obstore` makes the requests, and finds credentials, region and endpoint as each provider documents
(`AWS_*`, `GOOGLE_*`, `AZURE_*`; instance metadata; web identity). It repeats what a server answers
with 429 or 5xx, and connections that break. No torch.
"""

import hashlib
import mimetypes
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jukebox_core.errors import BucketError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Result = TypeVar("Result")

SCHEMES = ("s3://", "gs://", "az://")

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 2
_CHUNK_BYTES = 1 << 20
_SMALL_CHUNK_BYTES = 1 << 16
"""What a connection that breaks may lose of what has arrived."""
_ATTEMPTS = 4
_REQUEST_SEC = 60.0
_SHA256 = "sha256"
_URL = re.compile(r"(s3|gs|az)://[A-Za-z0-9][\w.-]*(/[^/\\]+)*/*", re.ASCII)
_MEANT_AS_URL = re.compile(r"[a-z][a-z0-9+.-]*://|(s3|gs|az):", re.IGNORECASE)
_IN_NO_URL = re.compile(r"[?#@\s\x00-\x1f\x7f]")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
_ENDPOINT = re.compile(r"https?://(?!/)[^\s?#@\\]+", re.ASCII)
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3}[ \w]{0,32})")
_CREDENTIAL_SERVERS = ("169.254.169.254", "metadata.google.internal")
"""Asked inside a provider's network when the environment names no credentials."""
_CREDENTIAL_CODES = frozenset(
    {
        *("AccessDenied", "AuthenticationFailed", "AuthorizationHeaderMalformed", "ExpiredToken"),
        *("InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch"),
        *("TokenRefreshRequired", "RequestExpired"),
    }
)


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """The URL of a bucket, or of what lies below a prefix in one, without a slash at its end."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "BucketUrl":
        return BucketUrl(f"{self.url}/{name}")


Place = Path | BucketUrl
"""A folder of this machine, or one in a bucket."""


def read_place(value: object) -> Place:
    """A folder or a bucket, as settings and options name it.

    Raises:
        ValueError: the URL has another scheme, no bucket, a query, or a part that would be read
            as another prefix than the one that is written.
    """
    if isinstance(value, Path | BucketUrl):
        return value
    text = str(value)
    scheme = _MEANT_AS_URL.match(text)
    if scheme is None:
        return Path(text)
    is_legal = _URL.fullmatch(text) and not _IN_NO_URL.search(text)
    if not is_legal or {".", ".."} & set(text.split("/")):
        raise ValueError(
            f"{scheme[0].rstrip(':/')}://... is neither a folder nor a bucket: write a path, or "
            f"one of {', '.join(f'{each}BUCKET/PREFIX' for each in SCHEMES)} without a query, "
            "blanks, empty parts or dots alone between two slashes. "
            "Credentials come from the environment (AWS_ACCESS_KEY_ID and the like)"
        )
    return BucketUrl(text.rstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as a bucket lists it; `changed_at` in seconds since 1970, by the bucket's clock.

    `sha256` is known of one that was asked about by itself, and written by this class.
    """

    key: str
    num_bytes: int
    etag: str
    changed_at: float
    sha256: str = ""


class ObjectChanged(Exception):
    """An object is not the version that a conditional request expected."""


class Bucket:
    """The objects below one URL; keys are relative to it. Made for threads. All methods block.

    Every method raises BucketError when the bucket refuses, or has not answered for `patience_sec`.
    """

    def __init__(self, url: BucketUrl, *, patience_sec: float = 60.0) -> None:
        self.url, self._patience_sec = url, patience_sec
        self._store = _open(url, patience_sec)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin with the folder `prefix`, in the order of their keys."""
        last, failures, until = None, 0, time.monotonic() + self._patience_sec
        while True:
            try:
                with self._errors():
                    for batch in _obstore().list(self._store, prefix, offset=last):
                        until = time.monotonic() + self._patience_sec
                        for meta in batch:
                            last = meta["path"]
                            yield _stored(meta)
                    return
            except BucketError as error:
                failures += 1
                if not error.may_pass or failures == _ATTEMPTS or time.monotonic() > until:
                    raise

    def head(self, key: str) -> StoredObject:
        """Size, version and hash of an object. Raises FileNotFoundError."""
        noted, stored = self.metadata(key)
        return replace(stored, sha256=noted.get(_SHA256, ""))

    def read(self, key: str) -> tuple[bytes, StoredObject]:
        """A small object, whole. Raises FileNotFoundError."""

        def attempt() -> tuple[bytes, StoredObject]:
            found = _obstore().get(self._store, key)
            content, stored = bytes(found.bytes()), _stored(found.meta)
            digest = hashlib.sha256(content).hexdigest()
            self._compare(stored, found.attributes, len(content), digest)
            return content, stored

        return self._again(key, attempt)

    def metadata(self, key: str) -> tuple[Mapping[str, str], StoredObject]:
        """What was noted with an object when it was written. Raises FileNotFoundError."""

        def attempt() -> tuple[Mapping[str, str], StoredObject]:
            found = _obstore().get(self._store, key, options={"head": True})
            return {str(name): text for name, text in found.attributes.items()}, _stored(found.meta)

        return self._again(key, attempt)

    def read_part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of an object, the last not included. Raises FileNotFoundError."""
        return self._again(
            key, lambda: bytes(_obstore().get_range(self._store, key, start=start, end=end))
        )

    def download(self, key: str, target: Path) -> StoredObject:
        """Write an object to `target`, in little memory; what arrives is checked by its hash.

        Raises FileNotFoundError; OSError when the disk refuses.
        """

        def attempt() -> StoredObject:
            found = _obstore().get(self._store, key)
            stored = _stored(found.meta)
            num_bytes, digest = _copy(found.stream(min_chunk_size=_CHUNK_BYTES), target)
            self._compare(stored, found.attributes, num_bytes, digest)
            return stored

        return self._again(key, attempt)

    def read_range(self, stored: StoredObject, start: int, end: int) -> Iterator[bytes]:
        """Bytes `start` to `end` of one version of an object, the last not included, in chunks.

        A connection that breaks, or ends because whoever reads takes too long, is replaced.
        Raises FileNotFoundError, and ObjectChanged when it is another version by now.
        """
        failures = 0
        while start < end:
            try:
                for chunk in self.read_on(stored.key, start, stored.etag, end=end):
                    start, failures = start + len(chunk), 0
                    yield chunk
                if start < end:
                    raise BucketError(f"{self._named(stored.key)} ends early", may_pass=True)
            except BucketError as error:
                failures += 1
                if not error.may_pass or failures == _ATTEMPTS:
                    raise

    def read_on(
        self, key: str, start: int, etag: str, *, end: int | None = None
    ) -> Iterator[bytes]:
        """One version of an object from byte `start` on, or up to `end`, a chunk at a time.

        Raises FileNotFoundError, and ObjectChanged when it is another version by now.
        """
        wanted = {"offset": start} if end is None else (start, end)
        options: Any = {"if_match": etag, "range": wanted}
        with self._errors(key):
            found = _obstore().get(self._store, key, options=options)
            for chunk in found.stream(min_chunk_size=_SMALL_CHUNK_BYTES):
                yield bytes(chunk)

    def upload(
        self, key: str, path: Path, *, headers: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Write a file to an object, which appears whole or not at all.

        `headers`, of `Content-Type` and `Content-Disposition`, are sent to all who read it.
        """
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        attributes = {_SHA256: sha256, "Content-Type": media_type, **(headers or {})}
        with self._errors(key):
            written = _obstore().put(
                self._store,
                key,
                path,
                attributes=attributes,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        return _written(key, path.stat().st_size, written)

    def write(
        self,
        key: str,
        content: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        instead_of: StoredObject | None = None,
        is_new: bool = False,
    ) -> StoredObject:
        """Write a small object whole: over any other, over one version only, or over none.

        Raises:
            ObjectChanged: it is not (any more) what `instead_of` says, or is there already.
        """
        mode: Any = "create" if is_new else "overwrite"
        if instead_of is not None:
            mode = {"e_tag": instead_of.etag}
        attributes = {_SHA256: hashlib.sha256(content).hexdigest(), **(metadata or {})}
        with self._errors(key):
            written = _obstore().put(
                self._store, key, content, attributes=attributes, mode=mode, use_multipart=False
            )
        return _written(key, len(content), written)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are gone already do no harm."""
        doomed = list(keys)
        if doomed:
            with self._errors():
                _obstore().delete(self._store, doomed)

    def signed_url(self, key: str, seconds: float) -> str:
        """A URL that anybody may download the object from, for so long."""
        with self._errors(key):
            return str(_obstore().sign(self._store, "GET", key, timedelta(seconds=seconds)))

    def _named(self, key: str) -> str:
        return f"{self.url}/{key}" if key else str(self.url)

    def _compare(
        self, stored: StoredObject, noted: Mapping[str, str], num_bytes: int, sha256: str
    ) -> None:
        if num_bytes != stored.num_bytes or noted.get(_SHA256, sha256) != sha256:
            raise BucketError(
                f"{self._named(stored.key)} does not arrive as it was written", may_pass=True
            )

    def _again(self, key: str, attempt: Callable[[], Result]) -> Result:
        """The result of an attempt; of a few, where what arrives is cut off or damaged."""
        until = time.monotonic() + self._patience_sec
        for number in range(1, _ATTEMPTS + 1):
            try:
                with self._errors(key):
                    return attempt()
            except BucketError as error:
                if not error.may_pass or number == _ATTEMPTS or time.monotonic() > until:
                    raise
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        """Errors of obstore as ours."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError) as error:
            raise ObjectChanged(key) from error
        except FileNotFoundError as error:
            if error.errno is not None:  # of this machine's disk
                raise
            if "NoSuchBucket" in str(error):
                raise self._no_bucket() from error
            raise FileNotFoundError(f"{self._named(key)} is not there") from error
        except exceptions.BaseError as error:
            refused = self._refusal(error)
            if refused is not None:
                raise refused from error
            raise BucketError(
                f"{self._named(key)} cannot be reached at the moment ({_reason(error)})",
                may_pass=True,
            ) from error

    def _refusal(self, error: Exception) -> BucketError | None:
        """For what a repetition does not mend."""
        from obstore import exceptions

        code = _CODE.search(str(error))
        if code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound"):
            return self._no_bucket()
        if any(server in str(error) for server in _CREDENTIAL_SERVERS):
            return BucketError(
                f"there are no credentials for {self.url}: set {_credentials_of(self.url)}"
            )
        is_denied = isinstance(
            error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
        )
        if is_denied or (code is not None and code[1] in _CREDENTIAL_CODES):
            return BucketError(
                f"{self.url} refuses the credentials of this process ({_reason(error)}): check "
                f"{_credentials_of(self.url)}, what they allow, and the clock of this machine"
            )
        return None

    def _no_bucket(self) -> BucketError:
        return BucketError(
            f"there is no bucket for {self.url}: create it, or correct the URL, the region "
            "(AWS_REGION) or the endpoint (AWS_ENDPOINT_URL)"
        )


def _open(url: BucketUrl, patience_sec: float) -> "ObjectStore":
    _obstore()
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
        raise BucketError(f"{url} cannot be used: {_reason(error)}") from error


def _check_endpoints() -> None:
    """Refuse, in words, what obstore panics at. Raises BucketError."""
    for name in _ENDPOINTS:
        text = os.environ.get(name, "")
        if text and not _ENDPOINT.fullmatch(text):
            raise BucketError(
                f"{name} is no URL of a server: write https://HOST or https://HOST:PORT, with "
                "http:// only for a server without TLS"
            )


def _obstore() -> Any:  # noqa: ANN401
    """The library, imported where it is first used. Raises BucketError where it is missing."""
    try:
        import obstore
    except ImportError as error:
        raise BucketError(
            "buckets need the library obstore: pip install 'jukebox-service[bucket]'"
        ) from error
    return obstore


def _stored(meta: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        key=meta["path"],
        num_bytes=meta["size"],
        etag=meta["e_tag"] or "",
        changed_at=meta["last_modified"].timestamp(),
    )


def _written(key: str, num_bytes: int, result: Mapping[str, Any]) -> StoredObject:
    return StoredObject(key=key, num_bytes=num_bytes, etag=result["e_tag"] or "", changed_at=0.0)


def _copy(chunks: Iterable[bytes], target: Path) -> tuple[int, str]:
    digest, num_bytes = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            num_bytes += len(chunk)
            file.write(chunk)
    return num_bytes, digest.hexdigest()


def _reason(error: Exception) -> str:
    """Status and code of an answer, or what the connection broke with; never a whole page."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return " ".join([status[1].strip(), *([code[1]] if code is not None else [])])
    return text.partition("\n")[0].rpartition(" - ")[2][:200]


def _credentials_of(url: BucketUrl) -> str:
    match url.url.partition("://")[0]:
        case "gs":
            return "GOOGLE_APPLICATION_CREDENTIALS"
        case "az":
            return "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
        case _:
            return "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION"
