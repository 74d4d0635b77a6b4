"""One HTTP request to an address that was checked: no redirect, no proxy, no end of patience.

A client library would look the name up again, follow redirects and read what it is given. Here the
connection goes to the given address and no other, TLS is checked against the name, and of the
answer only the head is read.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from jobs.webhooks.urls import WebhookTarget

MAX_HEAD_BYTES = 32 * 1024
CONNECT_TIMEOUT_SEC = 5.0
_MAX_ADDRESSES = 4
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)


class PostFailed(Exception):
    """The receiver did not answer; the message says why, and holds nothing that it sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver answered, as far as it matters."""

    status: int
    retry_after_sec: float | None = None


async def post(
    target: WebhookTarget,
    addresses: Sequence[str],
    *,
    headers: Mapping[str, str],
    body: bytes,
    tls: ssl.SSLContext,
) -> Answer:
    """Send `body` over a connection of its own. The caller limits the time. Raises PostFailed."""
    reader, writer = await _connect(target, addresses, tls)
    try:
        writer.write(_head(target, headers, len(body)) + body)
        await writer.drain()
        return await _read_answer(reader)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise PostFailed("the connection broke off") from error
    except asyncio.LimitOverrunError as error:
        raise PostFailed("the head of the answer is too large") from error
    finally:
        writer.transport.abort()


async def _connect(
    target: WebhookTarget, addresses: Sequence[str], tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first address that answers. Raises PostFailed."""
    is_secure = target.scheme == "https"
    failure = PostFailed("there is no address to connect to")
    for address in addresses[:_MAX_ADDRESSES]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SEC):
                return await asyncio.open_connection(
                    address,
                    target.port,
                    ssl=tls if is_secure else None,
                    server_hostname=target.host if is_secure else None,
                    limit=MAX_HEAD_BYTES,
                )
        except ssl.SSLCertVerificationError:
            failure = PostFailed("the certificate is not that of this host")
        except ssl.SSLError:
            failure = PostFailed("TLS could not be agreed upon")
        except TimeoutError:
            failure = PostFailed("no connection in time")
        except OSError:
            failure = PostFailed("no connection")
    raise failure


def _head(target: WebhookTarget, headers: Mapping[str, str], num_bytes: int) -> bytes:
    fields = {
        "Host": target.authority,
        "Content-Length": str(num_bytes),
        "Accept": "*/*",
        "Connection": "close",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {target.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii")


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    """The first head that is more than an interim one. Raises PostFailed."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        status_line = _STATUS_LINE.match(head)
        if status_line is None:
            raise PostFailed("the answer is not HTTP")
        status = int(status_line[1])
        if status >= HTTPStatus.OK:
            waiting = _RETRY_AFTER.search(head)
            return Answer(
                status=status, retry_after_sec=float(waiting[1]) if waiting is not None else None
            )
