"""Malformed bodies through the schema layer of `POST /jobs`: `python -m tests.fuzz.bodies`.

Most begin as a request that can be sung and are then bent: a value replaced by one of another kind
or size, a field added, doubled, moved or taken away, or the text itself cut and garbled. The
service is called in this process, over a real store. The last line is JSON: how many of each status
came back, and every body that was answered by what is not declared.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.local.embedded_redis import EmbeddedRedis
from jukebox_core.tiny import write_tiny
from tests.api.conftest import Service, serving, song

ALLOWED = frozenset({200, 202, 400, 413, 415, 422, 429})
_MAX_KEPT = 20
_ODD_TEXTS = (
    *("", " ", "\x00", "\ud800", "\U0001f3b5" * 300, "a" * 70_000, "../../etc/passwd", "%00"),
    *("{{7*7}}", "'; DROP TABLE", "true", "null", "NaN", "1e999", "tiny", "drone", "primed"),
    *("job_" + "0" * 32, "asset_" + "f" * 32, "JOB_" + "0" * 32, "continue", "upsample", "\r\n"),
)
_ODD_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 0.0, -0.0, 1e-320, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), 0.1 + 0.2, 10, 24, 600, 600.0000001),
)
_FIELDS = (
    *("model", "artist", "genre", "artist_id", "genre_ids", "lyrics", "duration_seconds", "mode"),
    *("song_duration_seconds", "offset_seconds", "num_samples", "levels", "seed", "sampling"),
    *("audio_format", "prompt", "parent_id", "sample", "cut_seconds", "webhook_url"),
    *("title", "tags", "favorite", "notes", "metadata"),
    *("parts", "source", "start_seconds", "end_seconds", "mend_seconds"),
    *("timeout_seconds", "asset_id", "top", "temperature", "top_k", "top_p", "hop_fraction"),
)


def a_body(rng: random.Random) -> bytes:
    """One body; the same for the same state of `rng`."""
    request = _a_request(rng)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        rng.choice(_BENDS)(request, rng)
    text = json.dumps(request, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return rng.choice(_GARBLINGS)(text, rng) if rng.random() < 0.3 else text


def _a_request(rng: random.Random) -> dict[str, Any]:
    mode = rng.choice(
        ("ancestral", "ancestral", "primed", "continue", "upsample", "redo", "splice")
    )
    request = song(duration_seconds=rng.choice((1, 10, 23.5)), sampling={"top": {"top_k": 5}})
    if mode == "primed":
        request |= {"mode": mode, "prompt": {"asset_id": "asset_" + "0" * 32, "seconds": 4}}
    elif mode in ("continue", "upsample"):
        request = {"mode": mode, "parent_id": "job_" + "0" * 32, "sample": 0, "cut_seconds": 8.5}
    elif mode == "splice":
        part = {"source": "job_" + "0" * 32, "sample": 0, "start_seconds": 1, "end_seconds": 2.5}
        request = {
            "mode": mode,
            "parts": [dict(part) for _ in range(rng.choice((1, 2, 64)))],
            "mend_seconds": 0.5,
        }
    elif mode == "redo":
        request = {"mode": mode, "parent_id": "job_" + "0" * 32, "start_seconds": 2.5}
        request |= rng.choice(({}, {"end_seconds": 4}, {"lyrics": "la", "num_samples": 3}))
    return request


def a_value(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value at all."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice(_ODD_TEXTS)
    if kind == 1:
        return "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(rng.randrange(12)))
    if kind == 2:
        return rng.choice(_ODD_NUMBERS)
    if kind == 3:
        return rng.choice((None, True, False))
    if kind == 4:
        return rng.uniform(-100, 1000) if rng.random() < 0.5 else rng.randrange(-50, 5000)
    if kind == 5:
        return [a_value(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 5, 60)))]
    return {rng.choice((*_FIELDS, "x", "")): a_value(rng, depth + 1) for _ in range(3)}


def _some_object(node: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    values = [each for value in node.values() for each in (value, *_listed(value))]
    inner = [value for value in values if isinstance(value, dict)]
    return _some_object(rng.choice(inner), rng) if inner and rng.random() < 0.4 else node


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _replace(request: dict[str, Any], rng: random.Random) -> None:
    target = _some_object(request, rng)
    if target:
        target[rng.choice(list(target))] = a_value(rng)


def _add(request: dict[str, Any], rng: random.Random) -> None:
    _some_object(request, rng)[rng.choice(_FIELDS)] = a_value(rng)


def _add_unknown(request: dict[str, Any], rng: random.Random) -> None:
    name = "".join(chr(rng.randrange(1, 0xD7FF)) for _ in range(rng.randrange(40)))
    _some_object(request, rng)[name] = a_value(rng)


def _take_away(request: dict[str, Any], rng: random.Random) -> None:
    target = _some_object(request, rng)
    if target:
        del target[rng.choice(list(target))]


def _wrap(request: dict[str, Any], rng: random.Random) -> None:
    if request:
        name = rng.choice(list(request))
        request[name] = rng.choice(
            ([request[name]], {"value": request[name]}, {name: request[name]})
        )


_BENDS: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (
    *(_replace, _replace, _replace, _add, _add, _add_unknown, _take_away, _wrap),
)


def _cut(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text))]


def _flip(text: bytes, rng: random.Random) -> bytes:
    bent = bytearray(text)
    for _ in range(rng.randrange(1, 6)):
        bent[rng.randrange(len(bent))] = rng.randrange(256)
    return bytes(bent)


def _insert(text: bytes, rng: random.Random) -> bytes:
    place, junk = rng.randrange(len(text)), rng.randbytes(rng.randrange(1, 9))
    return text[:place] + junk + text[place:]


def _double(text: bytes, rng: random.Random) -> bytes:
    return text + rng.choice((b"", b",", b"\n")) + text


def _respell(text: bytes, rng: random.Random) -> bytes:
    codec = rng.choice(("utf-16", "utf-32", "utf-7", "latin-1"))
    return text.decode("utf-8", "replace").encode(codec, "replace")


def _nest(_: bytes, rng: random.Random) -> bytes:
    opening = rng.choice((b"[", b'{"a":', b'{"sampling":', b'[{"levels":'))
    return opening * rng.choice((10, 990, 20_000))


def _repeat_field(text: bytes, rng: random.Random) -> bytes:
    name = json.dumps(rng.choice(_FIELDS)).encode()
    value = json.dumps(a_value(rng)).encode()
    return text[:-1] + b"," + name + b":" + value + text[-1:]


_GARBLINGS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_cut, _flip, _insert, _double, _respell, _nest, _repeat_field),
)
_TYPES = ("application/json",) * 30 + ("application/json; charset=latin-1", "text/plain", "")


@dataclass(slots=True, kw_only=True)
class BodiesRun:
    """What came back."""

    num_bodies: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    undeclared: list[str] = field(default_factory=list)

    @property
    def num_refused(self) -> int:
        """Bodies that were bent enough to be malformed."""
        return sum(number for status, number in self.statuses.items() if status >= 400)

    def note(self, body: bytes, response: httpx.Response) -> None:
        """Count an answer; keep the body when it is not declared, or no problem document."""
        self.num_bodies += 1
        self.statuses[response.status_code] += 1
        media_type = response.headers.get("content-type", "")
        is_problem = media_type == "application/problem+json"
        is_declared = response.status_code in ALLOWED and is_problem == response.is_error
        if not is_declared and len(self.undeclared) < _MAX_KEPT:
            self.undeclared.append(f"{response.status_code} {media_type} {body[:2000]!r}")


async def send_bodies(service: Service, num_refused: int, *, seed: int) -> BodiesRun:
    """Send until so many were refused, one after the other; jobs that come of it are left alone."""
    rng, run = random.Random(seed), BodiesRun()
    while run.num_refused < num_refused:
        body, media_type = a_body(rng), rng.choice(_TYPES)
        headers = {"content-type": media_type} if media_type else {}
        run.note(body, await service.client.post("/jobs", content=body, headers=headers))
    return run


async def _run(num_refused: int, seed: int) -> BodiesRun:
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name)
        write_tiny(folder / "models" / "tiny")
        with EmbeddedRedis(folder / "redis") as server:
            async with serving(server.url, folder / "models", folder / "data") as service:
                return await send_bodies(service, num_refused, seed=seed)


def main() -> int:
    """Exit status 1 when an answer was not declared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refused", type=int, default=100_000, help="malformed bodies to send")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    run = asyncio.run(_run(arguments.refused, arguments.seed))
    told = {
        "bodies": run.num_bodies,
        "refused": run.num_refused,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - started, 1),
        "statuses": {str(status): number for status, number in sorted(run.statuses.items())},
        "undeclared": run.undeclared,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if run.undeclared else 0


if __name__ == "__main__":
    sys.exit(main())
