"""What a bucket refuses, in words, and told from what may pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from jukebox_core.buckets.place import BucketUrl
from jukebox_core.errors import BucketError

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


class ObjectChanged(Exception):
    """An object is not the version that a conditional request expected."""


@contextmanager
def bucket_errors(url: BucketUrl, key: str = "") -> Iterator[None]:
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
            raise _no_bucket(url) from error
        raise FileNotFoundError(f"{object_name(url, key)} is not there") from error
    except exceptions.BaseError as error:
        refused = _refusal(url, error)
        if refused is not None:
            raise refused from error
        raise BucketError(
            f"{object_name(url, key)} cannot be reached at the moment ({reason(error)})",
            may_pass=True,
        ) from error


def _refusal(url: BucketUrl, error: Exception) -> BucketError | None:
    """For what a repetition does not mend."""
    from obstore import exceptions

    code = _CODE.search(str(error))
    if code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound"):
        return _no_bucket(url)
    if any(server in str(error) for server in _CREDENTIAL_SERVERS):
        return BucketError(f"there are no credentials for {url}: set {_credentials_of(url)}")
    is_denied = isinstance(
        error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
    )
    if is_denied or (code is not None and code[1] in _CREDENTIAL_CODES):
        return BucketError(
            f"{url} refuses the credentials of this process ({reason(error)}): check "
            f"{_credentials_of(url)}, what they allow, and the clock of this machine"
        )
    return None


def _no_bucket(url: BucketUrl) -> BucketError:
    return BucketError(
        f"there is no bucket for {url}: create it, or correct the URL, the region "
        "(AWS_REGION) or the endpoint (AWS_ENDPOINT_URL)"
    )


def object_name(url: BucketUrl, key: str) -> str:
    """An object in a sentence."""
    return f"{url}/{key}" if key else str(url)


def reason(error: Exception) -> str:
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
