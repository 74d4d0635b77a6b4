"""Where a request comes from: this machine or another, a page of this service or another."""

from collections.abc import Collection
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope as Connection

from api.web.errors import ApiError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address, or name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_loopback_address(host)


def _is_loopback_address(host: str) -> bool:
    """For clients, who may send any text where a proxy passes their `X-Forwarded-For` on."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def refuse_other_pages(
    headers: Headers, *, own: str, allowed: Collection[str], may_be_embedded: bool
) -> None:
    """Raises ApiError for what a browser sends on behalf of a page from elsewhere.

    `own` is the origin of the public URL, for proxies that do not pass `Host` on; empty if there is
    none. `allowed` are origins besides the service's own. `may_be_embedded`: the URL itself shows
    who asks, so it makes no difference which page has it.
    """
    origin = headers.get("origin")
    if origin is not None:
        is_foreign = origin not in allowed and not _is_own(origin, headers, own)
    else:
        # Without an origin come pictures and the like; a link that was followed is no harm.
        is_foreign = _is_embedded(headers) and not may_be_embedded
    if is_foreign:
        raise _origin_refused(
            "This request comes from a web page of another site, and those are not served."
        )


def require_own_page(headers: Headers, method: str, *, own: str) -> None:
    """For what a cookie shows the caller of, which browsers send by themselves.

    Raises ApiError unless it changes nothing or a browser says that a page of this service sends
    it.
    """
    origin = headers.get("origin")
    if origin is not None:
        is_own = _is_own(origin, headers, own)
    else:
        is_reading = method in ("GET", "HEAD")
        is_own = is_reading or headers.get("sec-fetch-site") == "same-origin"
    if not is_own:
        raise _origin_refused(
            "With a session only pages of this very service are served, and this request does not "
            "say that it comes from one (Origin, Sec-Fetch-Site)."
        )


def _origin_refused(detail: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, "origin_refused", detail)


def _is_own(origin: str, headers: Headers, own: str) -> bool:
    if own and origin.lower() == own:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def _is_embedded(headers: Headers) -> bool:
    site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
    return site in ("cross-site", "same-site") and mode != "navigate"


def origin_of_url(url: str) -> str:
    """`https://host:port` as browsers write it; empty for an empty URL."""
    parts = urlsplit(url.lower())
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}" if url else ""


def refuse_other_machines(connection: Connection, headers: Headers) -> None:
    """Raises ApiError unless this machine asks, by a name of its own."""
    client = connection.get("client")  # None: a socket in the file system
    if client is not None and not _is_loopback_address(client[0]):
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            "api_key_missing",
            "Without API keys, the service accepts only local requests. Create a key there with "
            "`jukebox keys create NAME`.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    host = headers.get("host")
    if host is not None and not is_loopback(_name_of(host)):
        detail = "Without API keys the service answers to localhost only, not to this host name."
        raise ApiError(HTTPStatus.FORBIDDEN, "host_refused", detail)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
