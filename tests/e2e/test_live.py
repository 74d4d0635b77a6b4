"""A song is heard while it is drawn: real processes, the bundled model."""

import os
import signal
import time
from contextlib import closing

import numpy as np
import pytest
import soundfile

from cli.local.stack import Stack
from jukebox_client import JukeboxClient

pytestmark = pytest.mark.e2e

HEADER_BYTES = 44
REQUEST = {
    "model": "mini",
    "artist": "orlavane",
    "genre": "tidedub",
    "lyrics": "hello hello is anybody there",
    "duration_seconds": 12,
    "seed": 5,
}


def samples_of(data: bytes) -> np.ndarray:
    return np.frombuffer(data[HEADER_BYTES:], "<i2")


def level_of(client: JukeboxClient, job_id: str, level: str, folder) -> np.ndarray:
    path = client.download_audio(client.get_job(job_id), folder / f"{level}.wav", level=level)
    return soundfile.read(path, dtype="int16")[0]


def test_a_song_is_heard_before_its_first_level_is_done(fresh_stack: Stack):
    """Ten minutes, so that the level is not done whoever is slow; nobody waits for its end."""
    with JukeboxClient(fresh_stack.url) as client:
        job = client.create_job({**REQUEST, "duration_seconds": 599, "levels": ["top"]})
        data = b""
        with closing(client.stream_audio(job.id)) as pieces:
            while len(data) <= HEADER_BYTES:
                data += next(pieces)
        assert client.get_job(job.id).outputs == []
        client.cancel_job(job.id)


def test_a_song_is_heard_to_its_end(fresh_stack: Stack, tmp_path):
    with JukeboxClient(fresh_stack.url) as client:
        job = client.create_job(REQUEST)
        data = b"".join(client.stream_audio(job.id))
        assert client.wait_for_job(job.id).status == "succeeded"
        heard = samples_of(data)
        levels = [level_of(client, job.id, each, tmp_path) for each in ("top", "middle", "bottom")]
        assert len(heard) == len(levels[0])
        second = 16_000
        np.testing.assert_array_equal(heard[:second], levels[0][:second])
        number = 0
        for start in range(0, len(heard) - 160, 160):
            part = slice(start, start + 160)
            same = [n for n, each in enumerate(levels) if (each[part] == heard[part]).all()]
            if same:  # all but the fades from level to level
                assert max(same) >= number
                number = max(number, min(same))
        late = b"".join(client.stream_audio(job.id, start_seconds=4.5))
        np.testing.assert_array_equal(samples_of(late), levels[2][round(4.5 * second) :])


def test_listeners_hear_on_when_the_worker_is_killed(fresh_stack: Stack, tmp_path):
    with JukeboxClient(fresh_stack.url) as client:
        job = client.create_job({**REQUEST, "seed": 6})
        data, is_killed = b"", False
        for piece in client.stream_audio(job.id):
            data += piece
            if not is_killed and len(data) > HEADER_BYTES:
                worker = next(each for each in fresh_stack._children if each.name == "worker")
                os.kill(worker.pid, signal.SIGKILL)
                while worker.exit_status() is None:
                    time.sleep(0.01)
                is_killed = True
                fresh_stack.revive(lambda _: None)
        assert client.wait_for_job(job.id).status == "succeeded"
        top = level_of(client, job.id, "top", tmp_path)
        assert client.get_job(job.id).attempt == 2
    heard = samples_of(data)
    assert len(heard) == len(top)
    np.testing.assert_array_equal(heard[:16_000], top[:16_000])
