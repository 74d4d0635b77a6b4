"""Every endpoint with each of its fields at its largest, while a second client measures.

`python -m tests.fuzz.availability`. No single request may keep another client's `/healthz` waiting
for more than 50 ms. What the service did not compute for does not count: a busy machine delays
everybody. A request that seems to keep others waiting is sent again, since a core that is shared
computes more slowly. The last line is JSON: how many requests, what came back, the longest delays.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.api.conftest import song
from tests.fuzz.world import FuzzWorld, fuzz_world

ALLOWED_DELAY_SEC = 0.05
_TRIES = 20
_BODY_BYTES = 256 * 1024
_LARGE_TEXTS = ("x" * 240_000, "\u00e9" * 39_000, "la, " * 60_000, "\\" * 110_000, "[" * 200_000)
_LARGE_VALUES: tuple[Any, ...] = (
    *_LARGE_TEXTS,
    [0] * 80_000,
    ["x"] * 50_000,
    [[0] * 100] * 700,
    [{}] * 60_000,
    {f"v{n}": n for n in range(14_000)},
    {f"v{n}": [n] for n in range(12_000)},
    {"x" * 240_000: 1},
)
_LARGE_QUERIES = ("x" * 7_000, "%C3%A9" * 1_200, "9" * 7_000, "2026-" * 1_400, "," * 7_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One request, and in a few words what is large about it."""

    name: str
    method: str
    path: str
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class AvailabilityRun:
    """What came back, and how long others waited meanwhile."""

    num_requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    too_slow: dict[str, float] = field(default_factory=dict)
    longest_delay_ms: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Nobody waited too long, and nothing but 2xx and 4xx came back."""
        has_faults = any(status >= 500 for status in self.statuses)
        return not (self.too_slow or self.crashes or has_faults)


def hostile_requests(world: FuzzWorld, document: dict[str, Any]) -> Iterator[Hostile]:
    """Each operation of the OpenAPI document: its parameters, its body's fields, and its path."""
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _of_operation(world, template, method.upper(), operation)
    for name in sorted(_field_names(document)):
        for number, value in enumerate(_LARGE_VALUES):
            yield _posting(f"POST /jobs {name} {number}", {**song(), name: value})
    many_fields = {f"field{n}": n for n in range(14_000)}
    yield _posting("POST /jobs unknown fields", many_fields)
    yield _raw("POST /jobs depth", b'{"a":' * 50_000)
    yield _raw("POST /jobs one key many times", b"{" + b'"model":"tiny",' * 16_000 + b'"a":1}')
    yield _raw("POST /jobs digits", b'{"seed":' + b"9" * 240_000 + b"}")


def _of_operation(
    world: FuzzWorld, template: str, method: str, operation: dict[str, Any]
) -> Iterator[Hostile]:
    if template == "/events":
        return  # it never ends; `/jobs/{job_id}/events` is its like
    path = template.replace("{job_id}", world.jobs["succeeded"]).replace("{name}", "tiny")
    path = path.replace("{asset_id}", world.assets[0])
    if method == "DELETE":
        path = template.replace("{job_id}", "job_" + "0" * 32)
        path = path.replace("{asset_id}", "asset_" + "0" * 32)
    name = f"{method} {template}"
    yield Hostile(name=f"{name} long path", method=method, path=path + "/" + "x" * 20_000)
    pairs = "&".join(f"a{n}=1" for n in range(2_500))
    yield Hostile(name=f"{name} many parameters", method=method, path=f"{path}?{pairs}")
    many_headers = tuple((f"X-A{n}", "1") for n in range(1_500))
    yield Hostile(name=f"{name} many headers", method=method, path=path, headers=many_headers)
    for parameter in operation.get("parameters", ()):
        for number, value in enumerate(_LARGE_QUERIES):
            label = f"{name} {parameter['name']} {number}"
            if parameter["in"] == "query" and "/events" not in path:
                query = f"{path}?{parameter['name']}={value}"
                yield Hostile(name=label, method=method, path=query)
            elif parameter["in"] == "header":
                headers = ((parameter["name"], value[:7_000]),)
                yield Hostile(name=label, method=method, path=path, headers=headers)


def _field_names(document: dict[str, Any]) -> set[str]:
    """Every property of every schema that a body of `POST /jobs` may be."""
    schemas = document["components"]["schemas"]
    bodies = [name for name in schemas if name.endswith("Body")]
    return {field for name in bodies for field in schemas[name].get("properties", {})}


def _posting(name: str, body: dict[str, Any]) -> Hostile:
    return _raw(name, json.dumps(body).encode())


def _raw(name: str, content: bytes) -> Hostile:
    headers = (("Content-Type", "application/json"),)
    content = content[:_BODY_BYTES]
    return Hostile(name=name, method="POST", path="/jobs", content=content, headers=headers)


class _Watcher(threading.Thread):
    """Asks for `/healthz` again and again, and notes the longest wait since it was last asked.

    A wait is as long as the service computed in it, on whatever thread.
    """

    def __init__(self, world: FuzzWorld) -> None:
        super().__init__(daemon=True)
        self._url, self._over = world.url, threading.Event()
        # Linux's number of the clock that counts what a process computes.
        self._clock = (~world.api.process.pid << 3) | 2
        self._longest_sec = 0.0

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._over.is_set():
                start, computed = time.perf_counter(), time.clock_gettime(self._clock)
                client.get("/healthz")
                waited_sec = time.perf_counter() - start
                computed_sec = time.clock_gettime(self._clock) - computed
                self._longest_sec = max(self._longest_sec, min(waited_sec, computed_sec))

    def reset(self) -> None:
        self._longest_sec = 0.0

    def longest_sec(self) -> float:
        """Once the answer that was awaited just now has come as well."""
        time.sleep(0.005)
        return self._longest_sec

    def stop(self) -> None:
        self._over.set()
        self.join()


def measure(world: FuzzWorld, requests: list[Hostile]) -> AvailabilityRun:
    """Send them one after the other; those that seem to delay others are tried again."""
    run, watcher = AvailabilityRun(), _Watcher(world)
    watcher.start()
    try:
        with httpx.Client(
            base_url=world.url, timeout=120, trust_env=False, headers=world.headers
        ) as client:
            for request in requests:
                _measure_one(run, watcher, client, request)
    finally:
        watcher.stop()
    run.crashes = world.crashes()
    return run


def _measure_one(
    run: AvailabilityRun, watcher: _Watcher, client: httpx.Client, request: Hostile
) -> None:
    delay_sec = float("inf")
    for _ in range(_TRIES):
        watcher.reset()
        run.statuses[_send(client, request)] += 1
        run.num_requests += 1
        delay_sec = min(delay_sec, watcher.longest_sec())
        if delay_sec <= ALLOWED_DELAY_SEC:
            break
    else:
        run.too_slow[request.name] = round(delay_sec * 1e3, 1)
    run.longest_delay_ms = max(run.longest_delay_ms, round(delay_sec * 1e3, 1))


def _send(client: httpx.Client, request: Hostile) -> int:
    """The status of the answer; 400 where the connection was closed over the head's size."""
    try:
        with client.stream(
            request.method, request.path, content=request.content, headers=list(request.headers)
        ) as response:
            return response.status_code
    except httpx.RemoteProtocolError:
        return 400


def main() -> int:
    """The status is 1 when somebody had to wait, or the service failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="send each n-th request only")
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fuzz") as name,
        fuzz_world(Path(name), locked=True) as world,
    ):
        document = httpx.get(f"{world.url}/openapi.json", trust_env=False).json()
        run = measure(world, list(hostile_requests(world, document))[:: wanted.every])
    figures = {
        "num_requests": run.num_requests,
        "statuses": dict(sorted(run.statuses.items())),
        "longest_delay_ms": run.longest_delay_ms,
        "too_slow": run.too_slow,
        "crashes": run.crashes,
        "is_clean": run.is_clean,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if run.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
