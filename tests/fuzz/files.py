"""Hostile files to `POST /assets`, and songs begun with some: `python -m tests.fuzz.files`.

Each is a sound or a file of codes that was cut, garbled, given impossible sizes or another's name,
or something else altogether: an archive, a pickle, a page. The last line is JSON: how many of each
status, the longest answer, the most memory that the service took, and every answer undeclared.
"""

import argparse
import io
import json
import pickle
import random
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from tests.api.conftest import song
from tests.api.sounds import codes_file, encoded, tone
from tests.fuzz.world import FuzzWorld, fuzz_world

ALLOWED = frozenset({201, 400, 413, 415, 422})
_ALLOWED_JOBS = frozenset({202, 422})
_NAMES = ("wav", "wave", "flac", "ogg", "oga", "mp3", "safetensors", "npy", "exe", "", "wav\x00.sh")
_SIZES = (0, 1, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_DTYPES = ("I32", "I64", "U8", "F32", "F16", "BOOL", "BF16", "F8_E4M3", "X", 7, None)


class _Opener:
    """What a pickle would do to whoever loads it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was loaded')",))


def whole_files() -> dict[str, bytes]:
    """One of each kind that is taken in, and some that are not."""
    sound = tone(0.5)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickle.dumps(_Opener()))
    files = {suffix: encoded(sound, suffix) for suffix in ("wav", "flac", "ogg", "mp3")}
    return files | {
        "many channels": encoded(tone(0.1, channels=8), "wav"),
        "floats": _encoded_as(sound.astype(np.float32), "FLOAT"),
        "not numbers": _encoded_as(np.full((5000, 1), np.nan, np.float32), "FLOAT"),
        "silence": encoded(np.zeros((2_000_000, 1)), "flac"),
        "codes": codes_file(1, 40, levels=3),
        "pickle": pickle.dumps(_Opener()),
        "archive": archive.getvalue(),
        "page": b"<!doctype html><script>alert(1)</script>",
        "nothing": b"",
    }


def _encoded_as(samples: np.ndarray, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype=subtype)
    return file.getvalue()


def a_file(rng: random.Random, files: dict[str, bytes]) -> tuple[str, bytes]:
    """A name and a content; the same for the same state of `rng`."""
    content = rng.choice(list(files.values()))
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        content = rng.choice(_BENDS)(content, rng)
    if rng.random() < 0.2:
        content = _made_up_codes(rng)
    return f"a.{rng.choice(_NAMES)}", content


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _flip_head(content: bytes, rng: random.Random) -> bytes:
    return _flip(content, rng, min(len(content), 64))


def _flip_any(content: bytes, rng: random.Random) -> bytes:
    return _flip(content, rng, len(content))


def _flip(content: bytes, rng: random.Random, end: int) -> bytes:
    bent = bytearray(content)
    for _ in range(rng.randrange(1, 8) if end else 0):
        bent[rng.randrange(end)] = rng.randrange(256)
    return bytes(bent)


def _resize(content: bytes, rng: random.Random) -> bytes:
    """An impossible number where a header keeps one."""
    place = rng.randrange(max(min(len(content), 60) - 4, 1))
    size = struct.pack(rng.choice("<>") + "I", rng.choice(_SIZES))
    return content[:place] + size + content[place + 4 :]


def _drop(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randrange(1, 5000) :]


def _append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice((content, rng.randbytes(3000), b"\x00" * 100_000))


def _only_head(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((4, 12, 44))] + rng.randbytes(rng.randrange(20_000))


_BENDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_cut, _flip_head, _flip_head, _flip_any, _resize, _resize, _drop, _append, _only_head),
)


def _made_up_codes(rng: random.Random) -> bytes:
    """A safetensors file whose header says anything."""
    num_bytes = rng.choice((0, 4, 400, 4000))

    def entry() -> Any:
        shape = [rng.choice((0, 1, 10, -1, 2**40, 1.5, "a")) for _ in range(rng.randrange(4))]
        offsets = [
            rng.choice((0, 4, num_bytes, -1, 2**63)) for _ in range(rng.choice((1, 2, 2, 2)))
        ]
        return {"dtype": rng.choice(_DTYPES), "shape": shape, "data_offsets": offsets}

    names = ("top", "middle", "bottom", "__metadata__", "x", "top\x00")
    header: Any = {rng.choice(names): entry() for _ in range(rng.randrange(5))}
    if rng.random() < 0.3:
        header["top"] = {
            "dtype": "I32",
            "shape": [1, num_bytes // 4],
            "data_offsets": [0, num_bytes],
        }
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = b'{"top":' * 20_000
    told = rng.choice((len(text), len(text), len(text) + 1, 1, 2**63, 2**64 - 1))
    return struct.pack("<Q", told) + text + rng.randbytes(num_bytes)


@dataclass(slots=True, kw_only=True)
class FilesRun:
    """What came back."""

    num_files: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    job_statuses: Counter[int] = field(default_factory=Counter)
    longest_sec: float = 0.0
    peak_api_bytes: int = 0
    undeclared: list[str] = field(default_factory=list)


def send_files(world: FuzzWorld, num_files: int, *, seed: int) -> FilesRun:
    """Send that many, two at a time; a job is posted for each that is taken in."""
    rng, files, run = random.Random(seed), whole_files(), FilesRun()
    client = httpx.Client(base_url=world.url, headers=world.headers, timeout=120, trust_env=False)
    with client, ThreadPoolExecutor(2) as pool:
        for _ in pool.map(
            lambda file: _send(client, *file, run), [a_file(rng, files) for _ in range(num_files)]
        ):
            run.peak_api_bytes = max(run.peak_api_bytes, _resident_bytes(world.api.process.pid))
    return run


def _send(client: httpx.Client, name: str, content: bytes, run: FilesRun) -> None:
    started = time.monotonic()
    response = client.post("/assets", files={"file": (name, content)})
    run.longest_sec = max(run.longest_sec, time.monotonic() - started)
    run.num_files += 1
    run.statuses[response.status_code] += 1
    if response.status_code not in ALLOWED:
        head = content[:300]
        run.undeclared.append(f"{response.status_code} {name!r} {head!r} {response.text[:300]}")
    if response.status_code == 201:
        _begin_song(client, response.json(), run)


def _begin_song(client: httpx.Client, asset: dict[str, Any], run: FilesRun) -> None:
    prompt = {"asset_id": asset["id"]}
    mode = "primed" if asset["kind"] == "audio" else "continue"
    response = client.post("/jobs", json=song(mode=mode, prompt=prompt))
    run.job_statuses[response.status_code] += 1
    if response.status_code not in _ALLOWED_JOBS:
        run.undeclared.append(f"{response.status_code} {mode} {asset} {response.text[:300]}")


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def main() -> int:
    """Exit status 1 when an answer was not declared, or the service's log tells of an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fuzz") as name,
        fuzz_world(Path(name), locked=False) as world,
    ):
        run = send_files(world, arguments.files, seed=arguments.seed)
        crashes = world.crashes()
    told = {
        "files": run.num_files,
        "seed": arguments.seed,
        "statuses": {str(status): number for status, number in sorted(run.statuses.items())},
        "jobs": {str(status): number for status, number in sorted(run.job_statuses.items())},
        "longest_seconds": round(run.longest_sec, 2),
        "peak_api_bytes": run.peak_api_bytes,
        "undeclared": run.undeclared[:20],
        "crashes": crashes[:20],
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if run.undeclared or crashes else 0


if __name__ == "__main__":
    sys.exit(main())
