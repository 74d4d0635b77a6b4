"""`GET /jobs/{id}/live`: a song as sound while it is made; a test plays the worker."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.types import ASGIApp

from api.live_audio import (
    CHUNK_SEC,
    FADE_SEC,
    LEAD_SEC,
    LevelState,
    LiveTake,
    live_frames,
    next_level,
)
from api.live_encoders import ENCODERS, LiveFormat
from jobs.files.growing_sound import GrowingSound
from jobs.record.job import Stage
from tests.api.conftest import Service, assert_problem
from tests.api.sse import OpenStream, open_stream

RATE_HZ = 16_000
HEADER_BYTES = 44


def app_of(service: Service) -> ASGIApp:
    transport: Any = service.client._transport
    return transport.app


@pytest.fixture
def growing() -> Iterator[Callable[..., GrowingSound]]:
    """Begins the sound of a row; what is not closed by then is at the end of the test."""
    with ExitStack() as files:

        def begin(service: Service, claim: Any, level: str, row: int = 0) -> GrowingSound:
            file = service.artifacts.new_growing_sound(
                claim.job.id, level=level, row=row, fence=claim.fence
            )
            files.callback(file.close)
            return file

        yield begin


def level_sound(seconds: float, value: int) -> np.ndarray:
    return np.full(round(seconds * RATE_HZ), value, np.int16)


def samples_of(stream: OpenStream) -> np.ndarray:
    body = bytes(stream.body[HEADER_BYTES:])
    return np.frombuffer(body[: len(body) // 2 * 2], "<i2")


async def heard(stream: OpenStream, seconds: float) -> np.ndarray:
    await stream.until_bytes(HEADER_BYTES + round(seconds * RATE_HZ) * 2)
    return samples_of(stream)


def state(seconds: float, speed: float = 0.0, *, is_done: bool = False) -> LevelState:
    return LevelState(seconds, speed, is_done=is_done)


def test_a_finer_level_is_taken_once_playing_will_not_catch_up_with_it():
    top, middle = state(10, is_done=True), state(4, speed=2.0)
    assert next_level([top, middle, state(0)], 1.0, 10.0, 0) == 1
    slow = state(4, speed=0.5)
    assert next_level([top, slow, state(0)], 1.0, 10.0, 0) == 0
    assert next_level([top, slow, state(2, is_done=True)], 1.0, 10.0, 0) == 2


def test_a_level_that_was_left_is_never_gone_back_to():
    levels = [state(10, is_done=True), state(4, speed=0.5)]
    assert next_level(levels, 4.0, 10.0, 1) is None
    assert next_level(levels, 3.9, 10.0, 1) == 1


def test_a_finer_level_is_taken_where_the_coarser_has_nothing():
    assert next_level([state(0), state(0), state(3)], 1.0, 10.0, 0) == 2
    assert next_level([state(0), state(0)], 1.0, 10.0, 0) is None


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1)])
@pytest.mark.parametrize("live_format", list(LiveFormat))
def test_streams_can_be_decoded_while_they_grow_and_at_their_end(live_format, rate_hz, channels):
    encoder = ENCODERS[live_format](rate_hz, channels)
    moments = np.arange(rate_hz * 6) / rate_hz
    tone = np.round(8000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16)
    frames = np.broadcast_to(tone[:, None], (len(tone), channels))
    body, half = b"", len(frames) // 2
    for start in range(0, half, rate_hz // 2):
        body += encoder.add(frames[start : start + rate_hz // 2])
    early, early_hz = soundfile.read(io.BytesIO(body), always_2d=True)
    assert len(early) / early_hz == pytest.approx(3.0, abs=1.1)
    body += encoder.add(frames[half:]) + encoder.end()
    sound, sound_hz = soundfile.read(io.BytesIO(body), always_2d=True)
    assert sound.shape[1] == channels
    assert len(sound) / sound_hz == pytest.approx(6.0, abs=0.01)
    middle = sound[sound_hz : 5 * sound_hz, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    near = slice(4 * 440 - 8, 4 * 440 + 9)
    assert spectrum[near].sum() > 0.99 * spectrum.sum()
    if live_format is LiveFormat.WAV:
        np.testing.assert_array_equal(np.round(sound * 2**15), frames)


pytest_redis = [pytest.mark.anyio, pytest.mark.redis]


class TestService:
    """Over a real store and real files."""

    pytestmark = pytest_redis

    async def test_an_ended_job_is_its_finest_sound_to_the_bit(self, service: Service):
        job = await service.post()
        done = service.worker.sing(job["id"])
        bottom = next(each for each in done.outputs if each.level == "bottom")
        path = service.artifacts.path(job["id"], bottom.name)
        expected, _ = soundfile.read(path, dtype="int16")
        response = await service.client.get(job["urls"]["live"])
        assert response.status_code == 200
        assert response.headers["content-type"] == "audio/wav"
        assert response.headers["accept-ranges"] == "none"
        assert "content-length" not in response.headers
        sound, rate_hz = soundfile.read(io.BytesIO(response.content), dtype="int16")
        assert rate_hz == RATE_HZ
        np.testing.assert_array_equal(sound, expected)
        part = await service.client.get(
            job["urls"]["live"], params={"start_seconds": 7.25}, headers={"Range": "bytes=5-"}
        )
        assert part.status_code == 200
        sound, _ = soundfile.read(io.BytesIO(part.content), dtype="int16")
        np.testing.assert_array_equal(sound, expected[round(7.25 * RATE_HZ) :])
        opus = await service.client.get(job["urls"]["live"], params={"format": "ogg"})
        assert opus.headers["content-type"] == "audio/ogg"
        info = soundfile.info(io.BytesIO(opus.content))
        assert (info.subtype, info.frames) == ("OPUS", len(expected))

    async def test_a_listener_hears_finer_levels_as_they_come_and_never_goes_back(
        self, service: Service, growing
    ):
        job = await service.post()
        async with open_stream(app_of(service), job["urls"]["live"]) as stream:
            claim = service.worker.claim(job["id"])
            top = growing(service, claim, "top")
            top.append(level_sound(1.0, 1000))
            assert set(await heard(stream, 1.0)) == {1000}
            top.append(level_sound(1.0, 1000))
            assert set(await heard(stream, 2.0)) == {1000}
            middle = growing(service, claim, "middle")
            middle.append(level_sound(5.0, 2000))
            await heard(stream, 2.6)
            middle.append(level_sound(1.0, 2000))  # no more: the clock of the stream goes on
            top.close()
            await heard(stream, 5.0)
            service.worker.finish_level(claim)
            for stage in (Stage.MIDDLE, Stage.BOTTOM):
                service.worker.finish_level(service.worker.claim(job["id"], stage))
            middle.close()
            service.store.succeed(service.worker.claim(job["id"], Stage.RENDER))
            await asyncio.wait_for(stream.is_over.wait(), 60.0)
        samples = samples_of(stream)
        assert len(samples) == 10 * RATE_HZ
        fade = round(FADE_SEC * RATE_HZ)
        first_middle = int(np.argmax(samples == 2000))
        assert set(samples[: first_middle - fade]) == {1000}
        assert (np.diff(samples[first_middle - fade : first_middle + 1]) >= 0).all()
        is_top = samples[first_middle:] == 1000
        assert not (is_top[1:] & is_top[:-1]).any()  # one alone may be a moment of a tone
        assert samples[-1] not in (1000, 2000), "the end is of the finest level"

    @pytest.mark.parametrize("end", ["cancel", "fail", "delete"])
    async def test_a_stream_ends_with_its_job(self, service: Service, end: str, growing):
        job = await service.post()
        async with open_stream(app_of(service), job["urls"]["live"]) as stream:
            claim = service.worker.claim(job["id"])
            top = growing(service, claim, "top")
            top.append(level_sound(1.0, 1000))
            await heard(stream, 1.0)
            if end == "fail":
                from tests.jobs.records import ERROR

                service.store.fail(claim, ERROR)
            else:
                await service.client.post(job["urls"]["cancel"])
                service.store.cancel(claim)
            top.close()
            if end == "delete":
                await service.client.delete(job["urls"]["self"])
            await asyncio.wait_for(stream.is_over.wait(), 60.0)
            samples = samples_of(stream)
        assert len(samples) == RATE_HZ
        assert set(samples) == {1000}
        gone = await service.client.get(job["urls"]["live"])
        assert gone.status_code == 404

    async def test_a_listener_hears_on_when_another_worker_begins_the_level_anew(
        self, service: Service, growing
    ):
        job = await service.post()
        sound = np.arange(3 * RATE_HZ, dtype=np.int32).astype(np.int16)
        async with open_stream(app_of(service), job["urls"]["live"]) as stream:
            claim = service.worker.claim(job["id"])
            growing(service, claim, "top").append(sound[:RATE_HZ])  # and it dies
            await heard(stream, 1.0)
            service.store.release(claim)
            again = service.worker.claim(job["id"])
            assert again.fence > claim.fence
            file = growing(service, again, "top")
            file.append(sound[: RATE_HZ // 2])
            file.append(sound[RATE_HZ // 2 : 2 * RATE_HZ])
            samples = await heard(stream, 2.0)
            np.testing.assert_array_equal(samples, sound[: len(samples)])

    async def test_takes_of_a_job_are_told_apart(self, service: Service, growing):
        job = await service.post(num_samples=2)
        claim = service.worker.claim(job["id"])
        for row in range(2):
            growing(service, claim, "top", row).append(level_sound(1.0, 1000 + row))
        for take in range(2):
            url = f"{job['urls']['live']}?sample={take}"
            async with open_stream(app_of(service), url) as stream:
                assert set(await heard(stream, 1.0)) == {1000 + take}

    async def test_stereo_has_two_channels_and_its_top_level_is_on_both(
        self, service: Service, growing
    ):
        job = service.store.get((await service.post())["id"])
        stereo = replace(job, request=job.request.model_copy(update={"channels": 2}))
        claim = service.worker.claim(job.id)
        growing(service, claim, "top").append(level_sound(1.0, 1000))
        for row in range(2):
            growing(service, claim, "middle", row).append(level_sound(10.0, 2000 + row))
        take = LiveTake(service.store, service.artifacts, stereo, 0, sample_rate_hz=RATE_HZ)
        take.look()
        assert [round(each.seconds) for each in take.states] == [1, 10, 0]
        assert take.read(0, 5, 3).tolist() == [[1000, 1000]] * 3
        assert take.read(1, 5, 3).tolist() == [[2000, 2001]] * 3
        assert take.read(2, 5, 3).shape == (0, 2)

    async def test_unfinished_sound_is_sent_a_little_ahead_of_the_clock(
        self, service: Service, growing
    ):
        job = await service.post(duration_seconds=30)
        claim = service.worker.claim(job["id"])
        growing(service, claim, "top").append(level_sound(25.0, 1000))
        take = LiveTake(
            service.store,
            service.artifacts,
            service.store.get(job["id"]),
            0,
            sample_rate_hz=RATE_HZ,
        )
        stopping, now_sec, num_frames = asyncio.Event(), 0.0, 0
        frames = live_frames(take, 0, stopping, clock=lambda: now_sec)
        while num_frames < LEAD_SEC * RATE_HZ:
            num_frames += len(await anext(frames))
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        now_sec = CHUNK_SEC
        num_frames += len(await waiting)
        assert num_frames <= (LEAD_SEC + 2 * CHUNK_SEC) * RATE_HZ
        stopping.set()
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    async def test_a_listener_who_stops_reading_is_not_read_ahead_for(self, service: Service):
        job = await service.post()
        service.worker.sing(job["id"])
        async with open_stream(app_of(service), job["urls"]["live"]) as stream:
            await heard(stream, 1.0)
            stream.pause()
            await asyncio.sleep(0.3)
            num_bytes = len(stream.body)
            await asyncio.sleep(0.3)
            assert len(stream.body) == num_bytes < HEADER_BYTES + 10 * RATE_HZ * 2
            stream.go_on()
            await asyncio.wait_for(stream.is_over.wait(), 60.0)
        assert len(samples_of(stream)) == 10 * RATE_HZ

    async def test_what_cannot_be_heard_is_refused(self, service: Service):
        job = await service.post()
        live = job["urls"]["live"]
        assert_problem(await service.client.get(f"{live}?sample=1"), 404, "audio_not_found")
        for query in (
            "start_seconds=10",
            "start_seconds=-1",
            "start_seconds=nan",
            "format=mp3",
            "level=top",
            "sample=-1",
            "start_seconds=x",
        ):
            assert_problem(await service.client.get(f"{live}?{query}"), 422, "invalid_request")
        head = await service.client.head(live)
        assert head.status_code == 200
        assert head.headers["accept-ranges"] == "none"
        await service.client.post(job["urls"]["cancel"])
        assert_problem(await service.client.get(live), 404, "audio_not_found")

    async def test_a_stream_ends_when_the_service_stops(self, service: Service, growing):
        job = await service.post()
        async with open_stream(app_of(service), job["urls"]["live"]) as stream:
            growing(service, service.worker.claim(job["id"]), "top").append(level_sound(1.0, 9))
            await heard(stream, 1.0)
            app_of(service).state.services.stopping.set()  # type: ignore[attr-defined]
            await asyncio.wait_for(stream.is_over.wait(), 60.0)
