"""Logging of every process: one line for each thing that happened, and no secrets in it."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Literal

LogFormat = Literal["text", "json"]

HIDDEN = "[hidden]"
# What a person wrote to be sung is theirs; what opens a door stays with its owner.
_HIDDEN_FIELDS = frozenset({"lyrics", "password", "authorization", "token", "api_key", "request"})
_API_KEY = re.compile(r"jbx_[A-Za-z0-9_-]+")
_SECRET_PARAMETER = re.compile(
    r"((?:^|[?&;\s\"'])(?:api_?key|key|token|access_token|password|secret|authorization)=)[^&;\s\"']+",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MAX_TEXT_CHARACTERS = 2_000
"""Of one message, or one extra. Whoever asks decides how long a path is."""
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]*@", re.IGNORECASE)
# `color_message` is uvicorn's message once more, with the codes of a terminal in it.
_NO_EXTRAS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


def configure_logging(log_format: LogFormat, level: str = "INFO") -> None:
    """Send every log line to the standard error stream, as text or as one JSON object each.

    `level` is a name of the standard library, in any case. Raises ValueError for what is none.
    Extras (`log.info(..., extra={"job_id": ...})`) become fields of the line.
    """
    formatter = JsonFormatter() if log_format == "json" else TextFormatter()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.setLevel(level.upper())
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    access = logging.getLogger("uvicorn.access")
    access.filters[:] = [AccessFilter()]


def redact(text: str) -> str:
    """`text` without passwords of URLs (`redis://:[hidden]@host`), API keys and secrets."""
    text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return _API_KEY.sub(HIDDEN, _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", text))


def one_line(text: str) -> str:
    """`text` redacted, of a bounded length, its control characters escaped.

    What a client sends may hold line breaks and commands of a terminal.
    """
    if len(text) > _MAX_TEXT_CHARACTERS:
        text = f"{text[:_MAX_TEXT_CHARACTERS]}... ({len(text):,} characters)"
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", redact(text))


class AccessFilter(logging.Filter):
    """Rewrites lines of uvicorn's access log: an address is an address, or is left out.

    Behind a proxy the address is whatever `X-Forwarded-For` says.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        if isinstance(record.args, tuple) and record.args:
            address, *rest = record.args
            record.args = (_address(str(address)), *rest)
        return True


def _address(text: str) -> str:
    host = text.rpartition(":")[0] or text
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return "an invalid address"
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object for each line: time, level, logger, message, the extras, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        # An extra of the name of one of these must not take its place: `level` is the severity.
        line |= {
            f"{name}_" if name in line else name: value for name, value in _extras(record).items()
        }
        traceback = _traceback(self, record)
        if traceback:
            line["traceback"] = traceback
        return json.dumps(line, ensure_ascii=False, default=lambda value: one_line(str(value)))


class TextFormatter(logging.Formatter):
    """For people: time of day, level, message, then the extras as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback in the lines after it."""
        clock = _moment(record).astimezone().strftime("%H:%M:%S")
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        line = f"{clock} {record.levelname.lower():<7} {one_line(record.getMessage())}{extras}"
        traceback = _traceback(self, record)
        return f"{line}\n{traceback}" if traceback else line


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: _shown(name, value) for name, value in vars(record).items() if name not in _NO_EXTRAS
    }


def _shown(name: str, value: object) -> object:
    if name.lower() in _HIDDEN_FIELDS:
        return HIDDEN
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(name, part) for part in value]
    return value


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return redact("\n".join(parts))
