"""Edited songs whose worker is killed: the same song to the bit, and its sources untouched."""

import pytest

from jobs.record.job import JobStatus
from tests.faults.promises import END_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

TOKEN_SEC = 256 / 16_000
SONG = {"model": "tiny", "artist": "The Sawtooths", "genre": "drone", "duration_seconds": 3.2}


def accepted(http, **body):
    response = http.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    return response.json()["id"]


def ended_well(world, job_id):
    job = world.wait_end(job_id, timeout_sec=END_SEC)
    assert job.status is JobStatus.SUCCEEDED, job.error
    return job


def result(world, job):
    """Every code, and the hash of every sound."""
    codes = {level: rows.tobytes() for level, rows in world.codes(job).items()}
    return codes, [(each.level, each.sample, each.sha256) for each in job.outputs]


@pytest.mark.parametrize(
    ("level", "windows", "changes"),
    [
        ("middle", 1, {"mend_seconds": 0.6}),
        ("bottom", 2, {"mend_seconds": 0.6, "num_samples": 2}),
        ("bottom", 1, {"mend_seconds": 0.6, "audio_format": "flac"}),
    ],
    ids=str,
)
def test_a_worker_killed_while_it_mends_a_splice(world, level, windows, changes):
    http = world.api().wait_ready().http
    worker = world.worker()
    one, two = (accepted(http, **SONG, seed=seed) for seed in (1, 2))
    sources = [result(world, ended_well(world, each)) for each in (one, two)]
    parts = [
        {"source": one, "end_seconds": 90 * TOKEN_SEC},
        {"source": two, "start_seconds": 60 * TOKEN_SEC},
        {"source": one, "start_seconds": 50 * TOKEN_SEC, "end_seconds": 130 * TOKEN_SEC},
    ]
    body = {"mode": "splice", "parts": parts, "seed": 5, **changes}
    calm = ended_well(world, accepted(http, **body))
    job_id = accepted(http, **body)
    world.wait_kept(job_id, level, windows)
    worker.kill()
    assert not world.store.get(job_id).is_terminal, "it was to be killed in the middle"
    world.worker()
    job = ended_well(world, job_id)
    assert job.attempt == 2
    assert result(world, job) == result(world, calm)
    assert [result(world, world.store.get(each)) for each in (one, two)] == sources
    assert not [name for name in world.files(job_id) if name.startswith(".")]
    for parent in (one, two):
        children = http.get(f"/jobs/{parent}/children").json()["data"]
        assert {child["id"] for child in children} == {job_id, calm.id}


def test_a_worker_killed_while_it_draws_the_levels_of_joined_drafts(world):
    http = world.api().wait_ready().http
    worker = world.worker()
    drafts = [accepted(http, **SONG, seed=seed, levels=["top"]) for seed in (1, 2)]
    for draft in drafts:
        ended_well(world, draft)
    body = {
        "mode": "splice",
        "parts": [{"source": draft, "end_seconds": 1.6} for draft in drafts],
        "levels": ["top", "middle", "bottom"],
        "seed": 5,
    }
    calm = ended_well(world, accepted(http, **body))
    job_id = accepted(http, **body)
    world.wait_kept(job_id, "bottom", 1)
    worker.kill()
    assert not world.store.get(job_id).is_terminal, "it was to be killed in the middle"
    world.worker()
    assert result(world, ended_well(world, job_id)) == result(world, calm)


def test_a_splice_that_is_canceled_keeps_what_was_there_and_can_be_a_part_again(world):
    http = world.api().wait_ready().http
    world.worker()
    one = accepted(http, **SONG, seed=1)
    ended_well(world, one)
    parts = [{"source": one, "end_seconds": 1.6}, {"source": one, "end_seconds": 3.2}]
    job_id = accepted(http, mode="splice", parts=parts, mend_seconds=1.0, num_samples=4)
    world.wait_kept(job_id, "middle", 1)
    http.post(f"/jobs/{job_id}/cancel").raise_for_status()
    job = world.wait_end(job_id, timeout_sec=END_SEC)
    assert job.status is JobStatus.CANCELED
    again = accepted(http, mode="splice", parts=[{"source": job_id, "start_seconds": 1.6}])
    found, whole = world.codes(ended_well(world, again)), world.codes(world.store.get(one))
    assert (found["top"] == whole["top"]).all()
