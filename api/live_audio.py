"""What a listener hears of a song that is being made: which level, how much of it, and when.

Nothing is decoded for listeners. A worker decodes every level anyway while it is drawn; what is
made by then lies in the job's folder (`jobs/files/growing_sound.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray

from jobs.errors import ArtifactNotFound, JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.files.artifacts import Artifacts
from jobs.files.growing_sound import GrowingRow, longest_rows
from jobs.record.job import Job, Output
from jobs.store import JobStore
from jukebox_core.audio.files import open_sound
from jukebox_core.channels import rows_of_level, rows_of_take
from jukebox_core.errors import AudioError
from jukebox_core.units import Level

LEAD_SEC = 3.0
"""So far ahead of the clock sound is sent: enough for players to begin, and so little that what
comes later may still be of a finer level."""
CHUNK_SEC = 0.5
FADE_SEC = 0.01
"""From one level to the next, or the step would click."""
FIRST_LOOK_SEC = 0.05
LOOK_SEC = 0.25
"""How often files are looked at while there is nothing to send, before the first sound and then."""
RECORD_SEC = 0.5

Frames = NDArray[np.int16]
"""int16 [n, channels]"""


@dataclass(frozen=True, slots=True)
class LevelState:
    """How far the sound of a level is: seconds from the song's beginning on, and per second."""

    seconds: float
    speed: float
    is_done: bool


def next_level(
    levels: list[LevelState], position_sec: float, end_sec: float, current: int
) -> int | None:
    """The level to go on with, of those from `current` on; None: wait.

    levels  coarse to fine

    There is no way back. So a finer one is taken once playing to the end is not expected to catch
    up with it, or where the coarser ones have nothing.
    """
    to_play_sec = end_sec - position_sec
    for number in range(len(levels) - 1, current, -1):
        level = levels[number]
        has_lead = level.is_done or level.seconds >= min(position_sec + CHUNK_SEC, end_sec)
        if level.seconds > position_sec and has_lead:
            missing_sec = end_sec - level.seconds
            if level.is_done or level.speed * to_play_sec >= missing_sec:
                return number
    having = (n for n in range(current, len(levels)) if levels[n].seconds > position_sec)
    return next(having, None)


class LiveTake:
    """One take of a job, as far as its sound is there. What looks and reads blocks."""

    def __init__(
        self,
        store: JobStore,
        artifacts: Artifacts,
        job: Job,
        sample: int,
        *,
        sample_rate_hz: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._artifacts, self._clock = store, artifacts, clock
        self._job, self._sample = job, sample
        self.sample_rate_hz, self.num_channels = sample_rate_hz, job.request.channels
        self.levels = [Level.from_label(label) for label in job.request.levels]
        self.num_frames = max(
            job.plan[level].output_tokens * job.plan[level].samples_per_token
            for level in job.request.levels
        )
        self.is_over = job.is_terminal
        """Nothing more will be made, as of the last look."""
        self._looked_at = self._asked_at = -np.inf
        self._outputs: dict[Level, Output] = {}
        self._growing: dict[str, list[GrowingRow]] = {}
        self._seen_first: dict[Level, tuple[float, float]] = {}
        self.states: list[LevelState] = []
        """Of each level, coarse to fine, as of the last look."""

    def look(self, *, every_sec: float = 0.0) -> None:
        """See how far it is, unless that was done so lately."""
        now = self._clock()
        if now - self._looked_at < every_sec:
            return
        if not self.is_over and now - self._asked_at >= RECORD_SEC:
            self._asked_at = now
            self._ask()
        num_takes = self._job.request.num_samples
        rows = {
            level.label: rows_of_take(
                self._sample, num_takes, rows_of_level(level, num_takes, self.num_channels)
            )
            for level in self.levels
        }
        self._outputs = {
            Level.from_label(output.level): output
            for output in self._job.outputs
            if output.sample == self._sample
        }
        growing = [] if self._has_all else self._artifacts.growing_sounds(self._job.id)
        self._growing = longest_rows(growing, rows)
        self.states = [self._state(level, now) for level in self.levels]
        self._looked_at = now

    def read(self, number: int, start: int, num_frames: int) -> Frames:
        """Frames of a level, from `start` on; fewer where it ends or its files are gone."""
        level = self.levels[number]
        if level in self._outputs:
            frames = self._read_output(self._outputs[level], start, num_frames)
        else:
            rows = [row.read(start, num_frames) for row in self._growing.get(level.label, ())]
            shortest = min((len(row) for row in rows), default=0)
            rows = [row[:shortest] for row in rows] or [np.zeros(0, np.int16)]
            frames = np.stack(rows, axis=1)
        if len(frames) < num_frames:
            self._asked_at = self._looked_at = -np.inf
        return np.broadcast_to(frames, (len(frames), self.num_channels))

    @property
    def _has_all(self) -> bool:
        return len(self._outputs) == len(self.levels)

    def _ask(self) -> None:
        # While the store is away the files say enough.
        with suppress(StoreUnavailable, RecordUnreadable):
            try:
                self._job = self._store.get(self._job.id)
                self.is_over = self._job.is_terminal
            except JobNotFound:
                self.is_over = True

    def _state(self, level: Level, now: float) -> LevelState:
        if level in self._outputs:
            return LevelState(self._outputs[level].duration_sec, 0.0, is_done=True)
        rows = self._growing.get(level.label)
        if not rows:
            return LevelState(0.0, 0.0, is_done=False)
        seconds = min(row.num_frames for row in rows) / self.sample_rate_hz
        first_at, first_sec = self._seen_first.setdefault(level, (now, seconds))
        speed = (seconds - first_sec) / (now - first_at) if now > first_at else 0.0
        return LevelState(seconds, speed, is_done=False)

    def _read_output(self, output: Output, start: int, num_frames: int) -> Frames:
        try:
            with open_sound(self._artifacts.path(self._job.id, output.name)) as file:
                file.seek(min(start, file.frames))
                frames: Frames = file.read(num_frames, dtype="int16", always_2d=True)
                return frames
        except (ArtifactNotFound, AudioError):
            return np.zeros((0, 1), np.int16)


async def live_frames(
    take: LiveTake,
    start: int,
    stopping: asyncio.Event,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Frames]:
    """The take from frame `start` on, as it is made, to its end or that of the job.

    What is not finished is sent by the clock: what comes later is to be of the finest level there
    is by then.
    """
    rate_hz, last = take.sample_rate_hz, len(take.levels) - 1
    chunk, position, current = round(CHUNK_SEC * rate_hz), start, 0
    began: float | None = None
    while position < take.num_frames and not stopping.is_set():
        await run_in_threadpool(take.look, every_sec=FIRST_LOOK_SEC if began is None else LOOK_SEC)
        number = next_level(take.states, position / rate_hz, take.num_frames / rate_hz, current)
        if number is None and take.is_over:
            return
        if number is not None:
            began = clock() if began is None else began
            ahead_sec = (position - start) / rate_hz - (clock() - began)
            is_final = take.states[number].is_done and (number == last or take.is_over)
            if is_final or ahead_sec < LEAD_SEC:
                before = current if position > start else number
                frames = await run_in_threadpool(_read, take, before, number, position, chunk)
                current, position = number, position + len(frames)
                if len(frames):
                    yield frames
                    continue
        with suppress(TimeoutError):
            wait_sec = FIRST_LOOK_SEC if began is None else LOOK_SEC
            await asyncio.wait_for(stopping.wait(), wait_sec)


def _read(take: LiveTake, before: int, number: int, position: int, num_frames: int) -> Frames:
    """Frames of a level, faded in where it is another one than before."""
    frames = take.read(number, position, num_frames)
    if before == number:
        return frames
    fading = take.read(before, position, min(round(FADE_SEC * take.sample_rate_hz), len(frames)))
    share = np.linspace(0.0, 1.0, len(fading), endpoint=False)[:, None]
    mixed = np.round(fading * (1.0 - share) + frames[: len(fading)] * share)
    return np.concatenate([mixed.astype(np.int16), frames[len(fading) :]])
