"""The header `Idempotency-Key`: what it may be, and what it promises about a body."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header
from pydantic import AfterValidator, BaseModel

from jobs.idempotency import IdempotencyKey
from jobs.record.annotations import Annotations

MAX_KEY_CHARACTERS = 255
_ADDED_SINCE = {"lyrics_format", "channels", "stereo_genres", *Annotations.model_fields}
"""Fields of bodies that did not exist when whole bodies were hashed, defaults included. Such hashes
are accepted, because clients may send a request again that they first sent to that release."""

_KEY_PATTERN = f"^[!-~]{{1,{MAX_KEY_CHARACTERS}}}$"


def _check_key(text: str) -> str:
    if not re.fullmatch(_KEY_PATTERN.strip("^$"), text):
        raise ValueError(f"must be 1 to {MAX_KEY_CHARACTERS} visible ASCII characters, no spaces")
    return text


IdempotencyHeader = Annotated[
    Annotated[str, AfterValidator(_check_key)] | None,
    Header(
        alias="Idempotency-Key",
        description="Your own name for this request, such as a UUID: sent again with the same "
        "body within 24 hours, it makes no second job",
        json_schema_extra={"pattern": _KEY_PATTERN},
    ),
]


def named_request(caller: str, what: str, key: str | None, sent: str = "") -> IdempotencyKey | None:
    """As `idempotency_of`, for requests other than for a job; `sent` is all that may differ.

    The keys of each `what` are apart from those of all others.
    """
    if key is None:
        return None
    return IdempotencyKey(caller=f"{caller} {what}", key=key, request_sha256=_sha256(sent))


def idempotency_of(caller: str, key: str | None, body: BaseModel) -> IdempotencyKey | None:
    """What the store compares; None when the client sent no key.

    Bodies are the same when they ask for the same: white space, the order of fields and defaults
    that were written out make no difference. Fields that a client left alone are not hashed, so a
    release that adds a field knows the requests that came before it.
    """
    if key is None:
        return None
    asked = body.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps([type(body).__name__, asked], sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(
        caller=caller,
        key=key,
        request_sha256=_sha256(canonical),
        previous_sha256=_previous_sha256(body, asked),
    )


def _previous_sha256(body: BaseModel, asked: Mapping[str, Any]) -> str:
    """Empty for a body that the previous release would have refused."""
    if asked.keys() & Annotations.model_fields:
        return ""
    return _sha256(body.model_dump_json(exclude=_ADDED_SINCE))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
