"""Servers that Redis Sentinel watches, as one URL names them.

`sentinel://:password@host:26379,other:26379/0?service=jukebox&replicas=1`: the password is that of
the servers, `sentinel_password` that of the sentinels. With `sentinels://` everything is TLS.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

_SCHEMES = ("sentinel", "sentinels")
_DEFAULT_PORT = 26_379
_KNOWN = {"service", "replicas", "sentinel_password", "ssl_ca_certs"}


def is_sentinel_url(redis_url: str) -> bool:
    """Whether the URL names sentinels, rather than a server."""
    return redis_url.partition("://")[0] in _SCHEMES


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelUrl:
    """Where the sentinels are, and what they watch.

    A write counts only once `replicas` servers besides the master have it, so that a fail-over
    loses nothing that was acknowledged; 0 does not wait for any.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    replicas: int = 1
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    ca_certs: str | None = None

    @classmethod
    def parse(cls, redis_url: str) -> "SentinelUrl":
        """Raises ValueError that says what is missing or wrong."""
        scheme, _, rest = redis_url.partition("://")
        address, _, query_text = rest.partition("?")
        hosts_text, _, database = address.partition("/")
        account, _, hosts_text = hosts_text.rpartition("@")
        username, _, password = account.partition(":")
        query = {name: values[-1] for name, values in parse_qs(query_text).items()}
        if unknown := query.keys() - _KNOWN:
            raise ValueError(f"has {', '.join(sorted(unknown))}, which is none of {sorted(_KNOWN)}")
        if "service" not in query:
            raise ValueError("needs ?service=NAME, the name that the sentinels watch the master by")
        return cls(
            sentinels=tuple(_host_and_port(text) for text in hosts_text.split(",")),
            service=query["service"],
            database=_number(database or "0", "database"),
            replicas=_number(query.get("replicas", "1"), "replicas"),
            username=unquote(username) or None,
            password=unquote(password) or None,
            sentinel_password=query.get("sentinel_password"),
            is_tls=scheme == "sentinels",
            ca_certs=query.get("ssl_ca_certs"),
        )

    @property
    def tls_options(self) -> dict[str, Any]:
        """For redis-py; nothing without TLS."""
        if not self.is_tls:
            return {}
        return {"ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": self.ca_certs}

    @property
    def server_options(self) -> dict[str, Any]:
        """How redis-py signs in to the servers, and their database."""
        return {
            "username": self.username,
            "password": self.password,
            "db": self.database,
            **self.tls_options,
        }

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """How redis-py signs in to the sentinels."""
        return {"password": self.sentinel_password, **self.tls_options}


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text.strip(), str(_DEFAULT_PORT)
    if not host:
        raise ValueError("names no sentinel: write sentinel://host:26379,host:26379/0?service=NAME")
    return host.strip("[]"), _number(port, "port")


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"has {text!r} as its {name}, which must be a number")
    return int(text)
