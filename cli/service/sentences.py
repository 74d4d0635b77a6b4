"""Errors of the client in the words of the command line: options for fields, and what to do."""

import httpx

from cli.option_names import in_options, option_of_pointer
from cli.program import command
from jukebox_client import (
    InvalidAddress,
    JukeboxClientError,
    ProblemError,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from jukebox_client.address import is_loopback

_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"


def sentence_of(error: JukeboxClientError) -> str:
    """What to tell a person about an error of the client."""
    if isinstance(error, ServiceUnreachable):
        return _unreachable(error)
    if isinstance(error, ProblemError):
        faults = [
            f"  {option_of_pointer(fault.pointer)}: {in_options(fault.detail)}"
            for fault in error.errors
        ]
        sentence = in_options(error.detail)
        return "\n".join(["the service refuses this:", *faults]) if faults else sentence
    if isinstance(error, InvalidAddress | UnexpectedAnswer):
        return f"{error}. Check --url, JUKEBOX_URL and JUKEBOX_API_KEY."
    return str(error)


def _unreachable(error: ServiceUnreachable) -> str:
    if isinstance(error.__cause__, httpx.ProxyError):
        return str(error)
    if _CERTIFICATE in str(error.__cause__):
        return f"{error}. SSL_CERT_FILE=root.crt trusts an authority of your own."
    if is_loopback(httpx.URL(error.base_url).host):
        return f"{error}. Start one with `{command('serve')}`, or name another with --url."
    return (
        f"{error}. Check --url or JUKEBOX_URL, and HTTP_PROXY and NO_PROXY where there is a proxy."
    )
