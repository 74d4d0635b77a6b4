"""Where webhooks may go: the public internet, and hosts that the operator named.

A URL comes from a stranger, and what answers it may stand inside the operator's own network. So a
URL is checked as it is written, when a job is posted; the addresses behind its name are checked
each time before one of them is connected to, and no other (`jobs/webhooks/post.py`): a name that
leads elsewhere a moment later changes nothing.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from jobs.errors import WebhookUrlRefused

IpAddress = IPv4Address | IPv6Address

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*", re.ASCII)
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
# What some resolvers take for an IPv4 address: 127.1, 0x7f.1, 2130706433.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_MAX_NAME_CHARACTERS = 253
_PORTS = {"https": 443, "http": 80}
# Each holds an IPv4 address that a gateway may unwrap, so that it may lead anywhere.
_TRANSLATED = tuple(
    map(
        IPv6Network,
        (
            "::/96",
            "::ffff:0:0/96",
            "::ffff:0:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/32",
            "2002::/16",
        ),
    )
)

# What `is_global` of older Pythons takes for global (IANA's special-purpose registries), and the
# address at which one cloud tells its machines their secrets, though it looks like any other.
_SPECIAL: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")),
    *map(IPv6Network, ("100::/64", "2001::/23", "3fff::/20", "5f00::/16", "fec0::/10")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """A URL in parts, checked. `path` has the query in it; `is_allowed`: the operator named it."""

    scheme: str
    host: str
    port: int
    path: str
    is_allowed: bool

    @property
    def authority(self) -> str:
        """The header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_hosts(value: object) -> object:
    """The setting JUKEBOX_WEBHOOK_ALLOWED_HOSTS, split at commas and spaces."""
    return value.lower().replace(",", " ").split() if isinstance(value, str) else value


def parse_target(url: str, allowed_hosts: Collection[str] = ()) -> WebhookTarget:
    """The parts of a URL that webhooks may be sent to, as far as it can be told without asking DNS.

    `allowed_hosts` are names or addresses, lower case, each with or without `:port`; those may be
    private, and reached by plain http. Raises WebhookUrlRefused.
    """
    parts = _split(url)
    host = (parts.hostname or "").removesuffix(".")
    port = _port(parts)
    shown = f"[{host}]" if ":" in host else host
    is_allowed = bool({host, f"{shown}:{port}"} & set(allowed_hosts))
    if parts.scheme != "https" and not is_allowed:
        raise WebhookUrlRefused("must be an https URL")
    _check_host(host, is_allowed)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(
        scheme=parts.scheme, host=host, port=port, path=path, is_allowed=is_allowed
    )


def check_addresses(target: WebhookTarget, addresses: Sequence[str]) -> None:
    """All addresses behind a name must be fit to be connected to. Raises WebhookUrlRefused."""
    if not addresses:
        raise WebhookUrlRefused(f"{target.host} has no address")
    for address in addresses:
        _check_address(ip_address(address.partition("%")[0]), target.is_allowed)


def is_public(address: IpAddress) -> bool:
    """Whether this is one host of the public internet, and nothing that stands for another."""
    if any(address in network for network in (*_TRANSLATED, *_SPECIAL)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _check_address(address: IpAddress, is_allowed: bool) -> None:
    # Machines in a cloud are told their credentials at a link-local address: never that.
    never = address.is_link_local or address.is_multicast or address.is_unspecified
    if any(address in network for network in (*_TRANSLATED, *_SPECIAL)):
        never = address != IPv6Address("::1")
    if never or not (is_allowed or is_public(address)):
        raise WebhookUrlRefused("leads to an address that is not of the public internet")


def _split(url: str) -> SplitResult:
    # The parser drops tabs and line ends, and a path must not end a line of the request.
    if not _PLAIN.fullmatch(url):
        raise WebhookUrlRefused("holds a character that must be written as %XX in a URL")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise WebhookUrlRefused("is no URL") from error
    if parts.scheme not in _PORTS:
        raise WebhookUrlRefused("must be an https URL")
    if "@" in parts.netloc:
        raise WebhookUrlRefused("must hold no name and password")
    if parts.fragment:
        raise WebhookUrlRefused("must hold no fragment (#...)")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError as error:
        raise WebhookUrlRefused("has a port that is none") from error
    if port == 0:
        raise WebhookUrlRefused("has a port that is none")
    return port


def _check_host(host: str, is_allowed: bool) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        _check_name(host, is_allowed)
    else:
        _check_address(address, is_allowed)


def _check_name(host: str, is_allowed: bool) -> None:
    if len(host) > _MAX_NAME_CHARACTERS or not _NAME.fullmatch(host):
        raise WebhookUrlRefused("has no host name that could be looked up")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise WebhookUrlRefused("has an address in a form that is not taken here")
    if not is_allowed and (len(labels) < 2 or labels[-1] == "localhost"):
        raise WebhookUrlRefused("names a host that is not of the public internet")
