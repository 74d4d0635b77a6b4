"""Workers that are lost while a section of a song is sampled again."""

import hashlib

import numpy as np
import pytest

from jobs.record.job import JobStatus
from tests.faults.promises import assert_nothing_left

pytestmark = [pytest.mark.faults, pytest.mark.redis]

SONG = {"model": "tiny", "artist": "The Sawtooths", "genre": "drone", "lyrics": "one two three"}
SECTION = {"start_seconds": 1.6, "end_seconds": 6.4}
"""More than one window of every level, and room for all joins behind it."""
END_SEC = 110.0


def posted(api, **body):
    response = api.http.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    return response.json()["id"]


def ended(world, job_id, status=JobStatus.SUCCEEDED):
    job = world.wait_end(job_id, timeout_sec=END_SEC)
    assert job.status is status, job.error
    return job


def assert_same(world, job, expected):
    found, wanted = world.codes(job), world.codes(expected)
    assert list(found) == list(wanted)
    for level, codes in wanted.items():
        np.testing.assert_array_equal(found[level], codes)
    for mine, theirs in zip(job.outputs, expected.outputs, strict=True):
        content = world.artifacts.path(job.id, mine.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == mine.sha256 == theirs.sha256


def test_a_section_is_the_same_however_often_its_workers_are_killed(world):
    api = world.api()
    first = world.worker()
    api.wait_ready()
    song = posted(api, **SONG, duration_seconds=8.0, seed=1)
    ended(world, song)
    redo = {"mode": "redo", "parent_id": song, **SECTION, "seed": 2, "num_samples": 2}
    expected = ended(world, posted(api, **redo))
    first.ask_to_stop()
    assert first.wait(10) == 0
    job_id = posted(api, **redo)
    for level in ("top", "middle", "bottom"):
        # The second window of the level is written, and not on record.
        doomed = world.worker({"kind": "stop_in_sync", "name": f"{level}-", "after": 1})
        doomed.wait_frozen()
        doomed.kill()
    world.worker()
    job = ended(world, job_id)
    assert job.attempt > 1
    assert_same(world, job, expected)
    assert_nothing_left(world, [job, expected])


def test_a_redo_that_is_canceled_leaves_codes_up_to_its_section_to_go_on_from(world):
    api = world.api()
    first = world.worker()
    api.wait_ready()
    song = posted(api, **SONG, duration_seconds=8.0, seed=1)
    old = ended(world, song)
    first.ask_to_stop()
    assert first.wait(10) == 0
    doomed = world.worker({"kind": "stop_in_sync", "name": "top-", "after": 1})
    redo = posted(api, mode="redo", parent_id=song, **SECTION, seed=2)
    doomed.wait_frozen()
    assert api.http.post(f"/jobs/{redo}/cancel").status_code in (200, 202)
    doomed.thaw()
    canceled = ended(world, redo, JobStatus.CANCELED)
    doomed.end()
    world.worker()
    onward = posted(api, mode="continue", parent_id=redo, duration_seconds=0.32, levels=["top"])
    job = ended(world, onward)
    codes = world.codes(job)["top"]
    assert 100 < codes.shape[1] - 20 <= 400, "some of the section was kept, and nothing behind it"
    np.testing.assert_array_equal(codes[:, :100], world.codes(old)["top"][:, :100])
    assert (codes[:, 100:120] != world.codes(old)["top"][:, 100:120]).any()
    assert_nothing_left(world, [job, canceled])
