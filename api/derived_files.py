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
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from api.web.errors import ApiError, storage_failed
from api.web.fair_slots import FairSlots
from jobs.errors import ArtifactCorrupt, ArtifactNotFound
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
        self, job_id: str, name: str, audio_format: str, *, owner: str | None = None
    ) -> Path:
        """Where the sound `name` of a job lies in `audio_format`; encoded now if need be."""
        wanted = f"{name.rpartition('.')[0]}.{audio_format}"
        if wanted == name:
            return await run_in_threadpool(self._artifacts.path, job_id, name)
        return await self._made(job_id, name, wanted, program="transcode", owner=owner)

    async def peaks(self, job_id: str, name: str, *, owner: str | None = None) -> Peaks:
        """The peaks of the sound `name`, in the resolution that is kept."""
        make = partial(self._made, job_id, name, peaks_name(name), program="peaks", owner=owner)
        return await _parsed(make, read_peaks, partial(self._artifacts.discard, job_id))

    async def analysis(self, job_id: str, name: str, *, owner: str | None = None) -> Loudness:
        """What spectrograms of the sound `name` are drawn from."""
        wanted = analysis_name(name)
        make = partial(self._made, job_id, name, wanted, program="spectrogram", owner=owner)
        return await _parsed(make, read_analysis, partial(self._artifacts.discard, job_id))

    async def tagged(
        self, job_id: str, name: str, tags: SongTags, *, sound: str, owner: str | None = None
    ) -> Path:
        """Where a copy of the encoded sound `name` lies that has `tags`, and a cover.

        The cover is drawn of `sound`, which `name` was encoded from. Each content has a name of its
        own, so that what is being sent stays as it is when the title changes; of copies with other
        tags only the newest is kept.
        """
        what = f"{_TAGS_VERSION} {tags.to_json()}".encode()
        stem, _, suffix = name.rpartition(".")
        wanted = f"{stem}.{hashlib.sha256(what).hexdigest()[:16]}.{suffix}"
        if await run_in_threadpool(self._has, job_id, wanted):
            return await run_in_threadpool(self._artifacts.path, job_id, wanted)
        size = {"width": _COVER_SIZE, "height": _COVER_SIZE}
        cover = await self.drawn(job_id, sound, **size, owner=owner)
        whole = replace(tags, cover_png=base64.b64encode(cover).decode("ascii"))
        path = await self._made(
            job_id, name, wanted, program="tags", owner=owner, stdin=whole.to_json()
        )
        await run_in_threadpool(self._artifacts.keep_newest, job_id, f"{stem}.*.{suffix}", 2)
        return path

    def _has(self, job_id: str, name: str) -> bool:
        try:
            self._artifacts.path(job_id, name)
        except ArtifactNotFound:
            return False
        return True

    async def drawn(
        self, job_id: str, name: str, *, width: int, height: int, owner: str | None = None
    ) -> bytes:
        """A spectrogram of the sound `name` as a PNG file; does not wait for encoders."""
        loudness = await self.analysis(job_id, name, owner=owner)
        return await self._drawing_slots.run(owner, picture, loudness, width=width, height=height)

    async def _made(
        self,
        job_id: str,
        name: str,
        wanted: str,
        *,
        program: str,
        owner: str | None,
        stdin: str = "",
    ) -> Path:
        """The file `wanted`, made of `name` by a program of `jukebox_core.audio` if need be."""
        source = await run_in_threadpool(self._artifacts.path, job_id, name)
        with self._lock(job_id, wanted) as lock:
            async with lock:
                try:
                    return await run_in_threadpool(self._artifacts.path, job_id, wanted)
                except ArtifactNotFound:
                    make = partial(self._make, source, job_id, wanted, program, stdin)
                    await self._slots.run(owner, make)
        return await run_in_threadpool(self._artifacts.path, job_id, wanted)

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

    def _make(self, source: Path, job_id: str, wanted: str, program: str, stdin: str) -> None:
        with self._artifacts.new_file(job_id, wanted) as target:
            command = python_command(f"jukebox_core.audio.{program}", str(source), str(target))
            self._run(command, stdin)

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
