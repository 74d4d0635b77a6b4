"""Which bytes of a file a request asks for (RFC 9110, section 14)."""

import re
from collections.abc import Collection
from http import HTTPStatus

from fastapi import Request

from api.web.errors import ApiError

_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
_MAX_RANGES = 100
_MAX_DIGITS = 18


def wanted_ranges(
    request: Request, num_bytes: int, validators: Collection[str]
) -> list[tuple[int, int]]:
    """First byte and end of each range to send, the end not included; none: send the whole file.

    The whole answers every header that does not count: of a method other than GET, in a unit
    other than bytes, malformed, or meant for a version that is none of the `validators`
    (`If-Range`).

    Raises:
        ApiError: 416, the header is well-formed, and no part of it lies within the file.
    """
    header, if_range = request.headers.get("range"), request.headers.get("if-range")
    if request.method != "GET" or header is None:
        return []
    if if_range is not None and if_range not in validators:
        return []
    asked = _read(header)
    found = [_within(first, last, num_bytes) for first, last in asked]
    satisfiable = [each for each in found if each[0] < each[1]]
    if asked and not satisfiable:
        raise ApiError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            f"The file has {num_bytes} bytes; ask for some of them, like Range: bytes=0-1023.",
            headers={"Content-Range": f"bytes */{num_bytes}"},
        )
    return satisfiable


def _read(header: str) -> list[tuple[int | None, int | None]]:
    """First and last byte of each range, as they are written; none if the header is malformed."""
    unit, _, ranges = header.partition("=")
    # Recipients skip the empty elements of a list.
    texts = [text for part in ranges.split(",") if (text := part.strip(" \t"))]
    if unit.lower() != "bytes" or len(texts) > _MAX_RANGES:
        return []
    parts = [_RANGE.fullmatch(text) for text in texts]
    read = [(_number(part[1]), _number(part[2])) for part in parts if part is not None]
    are_legal = all(
        last is not None if first is None else last is None or first <= last for first, last in read
    )
    return read if are_legal and len(read) == len(parts) else []


def _number(digits: str) -> int | None:
    """No file is as long as a number with more digits than `_MAX_DIGITS`."""
    if not digits:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _within(first: int | None, last: int | None, num_bytes: int) -> tuple[int, int]:
    if first is None:
        return max(num_bytes - (last or 0), 0), num_bytes
    return first, num_bytes if last is None else min(last + 1, num_bytes)
