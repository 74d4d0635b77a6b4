"""The address of a service, the proxies of the environment, and what to say when nobody answers."""

import ipaddress
import re
from typing import Any

import httpx

from jukebox_client.errors import InvalidAddress, ServiceUnreachable

_NUMBER = re.compile(r"\[Errno -?\d+\] ")
"""What the system's errors begin with."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout)


def connection_options(base_url: str, *, api_key: str, timeout_sec: float) -> dict[str, Any]:
    """The arguments of the httpx client for one service.

    Proxies of the environment are used, but not for the loopback.

    Raises:
        InvalidAddress: the address is no http or https URL, or the key cannot stand in a header.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(f"{base_url!r} is not a valid URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidAddress(f"{base_url!r} must be like http://127.0.0.1:8000 or https://host")
    if not (api_key.isascii() and api_key.isprintable()):
        raise InvalidAddress("the API key contains characters that are invalid in a key")
    is_local = is_loopback(url.host)
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {api_key}"} if api_key else {},
        "timeout": timeout_sec,
        # HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.
        "trust_env": not is_local,
        "verify": httpx.create_ssl_context() if is_local and url.scheme == "https" else True,
    }


def is_loopback(host: str) -> bool:
    """Whether calls to `host` stay on this machine."""
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def unreachable(base_url: str, error: httpx.TransportError) -> ServiceUnreachable:
    """The error for a service that does not answer, with what was found."""
    reason = _NUMBER.sub("", str(error)) or type(error).__name__
    sentence = f"no service answers at {base_url} ({reason})"
    if isinstance(error, httpx.ProxyError):
        sentence = (
            f"the proxy of the environment does not reach {base_url} ({reason}). Check HTTP_PROXY, "
            "HTTPS_PROXY and ALL_PROXY, or list the host in NO_PROXY."
        )
    was_sent = not isinstance(error, _NEVER_SENT)
    return ServiceUnreachable(sentence, base_url=base_url, was_sent=was_sent)
