"""The connection to a service: its address, the proxies of the environment, and what went wrong."""

import ipaddress
from collections.abc import Mapping

import httpx

from cli.errors import UsageError
from cli.program import command


def open_http(base_url: str, *, headers: Mapping[str, str], timeout_sec: float) -> httpx.Client:
    """A client for one service; proxies of the environment are used, but not for the loopback.

    Raises:
        UsageError: the address is no http or https URL, or a proxy of the environment cannot be
            used.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise UsageError(f"--url {base_url!r} is not a valid URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"--url {base_url!r} must be like http://127.0.0.1:8000 or https://host")
    is_local = is_loopback(url.host)
    try:
        # trust_env: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.
        return httpx.Client(
            base_url=url,
            headers=dict(headers),
            timeout=timeout_sec,
            trust_env=not is_local,
            verify=httpx.create_ssl_context() if is_local and url.scheme == "https" else True,
        )
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(f"a proxy or certificate of the environment is unusable: {error}") from (
            error
        )


def is_loopback(host: str) -> bool:
    """Whether calls to `host` stay on this machine."""
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def unreachable(base_url: str, error: httpx.TransportError) -> str:
    """The sentence for a service that does not answer: what was found, and what to do."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ProxyError):
        return (
            f"the proxy of the environment does not reach {base_url} ({reason}). Check HTTP_PROXY, "
            "HTTPS_PROXY and ALL_PROXY, or list the host in NO_PROXY."
        )
    if is_loopback(httpx.URL(base_url).host):
        remedy = f"Start one with `{command('serve')}`, or name another with --url."
    else:
        remedy = "Check --url or JUKEBOX_URL, and HTTP_PROXY and NO_PROXY where there is a proxy."
    return f"no service answers at {base_url} ({reason}). {remedy}"
