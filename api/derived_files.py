"""Files that are made of a stored sound when somebody asks: other formats, peaks, spectrograms.

Each is made once, in a child process, and kept beside the sound. libsndfile has been seen to crash
on odd input, and a crash must not take the service along.
"""

import asyncio
import base64
import hashlib
import logging
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from api.web.errors import ApiError, storage_failed
from api.web.fair_slots import FairSlots
from jobs.errors import ArtifactCorrupt
from jobs.files.artifacts import Artifacts, analysis_name, peaks_name
from jukebox_core.audio.files import DISK_REFUSED_STATUS
from jukebox_core.audio.peaks import Peaks, read_peaks
from jukebox_core.audio.spectrogram import Loudness, picture, read_analysis
from jukebox_core.audio.tags import SongTags
from jukebox_core.child_processes import decoder_environment, python_command

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TAGS_VERSION = 1
"""To be raised when the same tags are written in another way."""
_COVER_SIZE = 300
_MAX_CHILDREN = 2
"""At a time; they take threads of their own, so that waiting for them blocks nobody."""
_MAX_DRAWING = 2
"""Pictures at a time, each for less than a tenth of a second."""


@dataclass(frozen=True, slots=True)
class _Making:
    """How a file is made: by a program of `jukebox_core.audio`, in the turn of an owner."""

    program: str
    owner: str | None
    download_name: str | None = None
    stdin: str = ""


class DerivedFiles:
    """Makes files of stored sounds, each once; API keys (`owner`) take turns.

    Every method raises ArtifactNotFound when the sound is gone, and ApiError when the file could
    not be made.
    """

    def __init__(self, artifacts: Artifacts, *, timeout_sec: float) -> None:
        self._artifacts, self._timeout_sec = artifacts, timeout_sec
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        self._slots = FairSlots(_MAX_CHILDREN)
        self._drawing_slots = FairSlots(_MAX_DRAWING)

    async def sound(
        self,
        job_id: str,
        name: str,
        audio_format: str,
        *,
        owner: str | None = None,
        download_name: str | None = None,
    ) -> str:
        """The name of the sound `name` of a job in `audio_format`; encoded now if need be."""
        wanted = f"{name.rpartition('.')[0]}.{audio_format}"
        if wanted != name:
            how = _Making("transcode", owner, download_name=download_name)
            await self._make_once(job_id, name, wanted, how)
        return wanted

    async def peaks(self, job_id: str, name: str, *, owner: str | None = None) -> Peaks:
        """The peaks of the sound `name`, in the resolution that is kept."""
        make = partial(self._made, job_id, name, peaks_name(name), _Making("peaks", owner))
        return await _parsed(make, read_peaks, partial(self._artifacts.discard, job_id))

    async def analysis(self, job_id: str, name: str, *, owner: str | None = None) -> Loudness:
        """What spectrograms of the sound `name` are drawn from."""
        wanted = analysis_name(name)
        make = partial(self._made, job_id, name, wanted, _Making("spectrogram", owner))
        return await _parsed(make, read_analysis, partial(self._artifacts.discard, job_id))

    async def tagged(
        self,
        job_id: str,
        name: str,
        tags: SongTags,
        *,
        sound: str,
        owner: str | None = None,
        download_name: str | None = None,
    ) -> str:
        """The name of a copy of the encoded sound `name` that has `tags`, and a cover.

        The cover is drawn of `sound`, which `name` was encoded from. Each content has a name of its
        own, so that what is being sent stays as it is when the title changes; of copies with other
        tags only the newest is kept.
        """
        what = f"{_TAGS_VERSION} {tags.to_json()}".encode()
        stem, _, suffix = name.rpartition(".")
        wanted = f"{stem}.{hashlib.sha256(what).hexdigest()[:16]}.{suffix}"
        if await run_in_threadpool(self._artifacts.has, job_id, wanted):
            return wanted
        size = {"width": _COVER_SIZE, "height": _COVER_SIZE}
        cover = await self.drawn(job_id, sound, **size, owner=owner)
        whole = replace(tags, cover_png=base64.b64encode(cover).decode("ascii"))
        how = _Making("tags", owner, download_name=download_name, stdin=whole.to_json())
        await self._make_once(job_id, name, wanted, how)
        await run_in_threadpool(self._artifacts.keep_newest, job_id, f"{stem}.*.{suffix}", 2)
        return wanted

    async def drawn(
        self, job_id: str, name: str, *, width: int, height: int, owner: str | None = None
    ) -> bytes:
        """A spectrogram of the sound `name` as a PNG file; does not wait for encoders."""
        loudness = await self.analysis(job_id, name, owner=owner)
        return await self._drawing_slots.run(owner, picture, loudness, width=width, height=height)

    async def _made(self, job_id: str, name: str, wanted: str, how: _Making) -> Path:
        """Where the file `wanted` lies, which is made of `name` if need be."""
        await self._make_once(job_id, name, wanted, how)
        return await run_in_threadpool(self._artifacts.path, job_id, wanted)

    async def _make_once(self, job_id: str, name: str, wanted: str, how: _Making) -> None:
        with self._lock(job_id, wanted) as lock:
            async with lock:
                if not await run_in_threadpool(self._artifacts.has, job_id, wanted):
                    source = await run_in_threadpool(self._artifacts.path, job_id, name)
                    make = partial(self._make, source, job_id, wanted, how)
                    await self._slots.run(how.owner, make)

    @contextmanager
    def _lock(self, job_id: str, name: str) -> Iterator[asyncio.Lock]:
        """The lock of one file; forgotten when the last who waited for it leaves."""
        key = (job_id, name)
        lock, num_users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, num_users + 1)
        try:
            yield lock
        finally:
            lock, num_users = self._locks.pop(key)
            if num_users > 1:
                self._locks[key] = (lock, num_users - 1)

    def _make(self, source: Path, job_id: str, wanted: str, how: _Making) -> None:
        program = f"jukebox_core.audio.{how.program}"
        with self._artifacts.new_file(job_id, wanted, download_name=how.download_name) as target:
            self._run(python_command(program, str(source), str(target)), how.stdin)

    def _run(self, command: list[str], stdin: str) -> None:
        try:
            child = subprocess.run(
                command,
                input=stdin.encode(),
                capture_output=True,
                timeout=self._timeout_sec,
                check=False,
                env=decoder_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(f"it took longer than {self._timeout_sec:g} s") from error
        if child.returncode != 0:
            said = child.stderr.decode(errors="replace").strip()[-1000:]
            _log.error("%s ended with status %d: %s", command[-3], child.returncode, said)
            if child.returncode == DISK_REFUSED_STATUS:
                raise storage_failed()
            raise _failed("the encoder gave up")


async def _parsed(
    make: Callable[[], Awaitable[Path]],
    parse: Callable[[Path], Result],
    discard: Callable[[str], None],
) -> Result:
    """What is in a derived file; one that is damaged is made again, once."""
    path = await make()
    try:
        return await run_in_threadpool(parse, path)
    except ValueError as error:
        _log.warning("making a damaged file again: %s", error)
        await run_in_threadpool(discard, path.name)
    path = await make()
    try:
        return await run_in_threadpool(parse, path)
    except ValueError as error:
        raise ArtifactCorrupt(str(error)) from error


def _failed(reason: str) -> ApiError:
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "encoding_failed",
        f"The audio could not be encoded ({reason}); request the `format` listed in outputs.",
    )
