"""Two releases side by side, an upgrade and a way back, with jobs in every state."""

import base64
import json
import shutil
import time
from pathlib import Path

import pytest
import redis

from jobs.record.job import JobError, JobStatus, Stage
from tests.faults.test_redis_faults import accepted, song

pytestmark = [pytest.mark.faults, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "cli", "jobs", "jukebox_core", "studio", "worker")
RECORDS = Path(__file__).parent / "records" / "before_formats.json"
"""The store and the codes of a service before records had a format: a job in every state, and one
whose worker was killed between two windows of its second level."""
REFUSED = "left to a worker of a newer release"


def edited(path, *changes):
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, (path, old)
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="session")
def next_release(tmp_path_factory):
    """Words that start a program in a copy of this tree whose requests know one more field.

    Jobs that use it have a newer format.
    """
    tree = tmp_path_factory.mktemp("next")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tree / package, ignore=ignored)
    edited(
        tree / "jobs" / "record" / "codec.py",
        ("RECORD_FORMAT = 3\n", "RECORD_FORMAT = 4\n"),
        (
            "    if any(len(plan.segments) > 1",
            "    if job.request.loudness is not None:\n        return 4\n"
            "    if any(len(plan.segments) > 1",
        ),
    )
    edited(
        tree / "jobs" / "record" / "request.py",
        (
            "    num_samples: Annotated[",
            "    loudness: float | None = None\n    num_samples: Annotated[",
        ),
    )
    return "env", "-C", str(tree), f"PYTHONPATH={tree}"


def jobs_of(api):
    return {job["id"]: job["status"] for job in api.http.get("/jobs?limit=100").json()["data"]}


def wait_log(child, text, *, times):
    deadline = time.monotonic() + 60.0
    while child.log.count(text) < times:
        assert time.monotonic() < deadline, child.log
        time.sleep(0.05)


def failed_by_hand(world):
    job = world.admit(seed=40)
    claim = world.store.claim(job.id, Stage.TOP, worker="test", lease_sec=60.0)
    world.store.fail(claim, JobError(code="out_of_memory", message="full", retryable=True))
    return job.id


def assert_song(world, undisturbed, job_id):
    job = world.wait_end(job_id)
    assert job.status is JobStatus.SUCCEEDED, job.error
    alone = undisturbed.world.codes(undisturbed.song_like(job))
    found = world.codes(job)
    assert {level: codes.tolist() for level, codes in found.items()} == {
        level: codes.tolist() for level, codes in alone.items()
    }


def test_an_upgrade_and_a_way_back_with_jobs_in_every_state(world, undisturbed, next_release):
    api, worker = world.api().wait_ready(), world.worker()
    sung, failed, canceled = accepted(api, seed=1), failed_by_hand(world), world.admit(seed=41).id
    assert api.http.post(f"/jobs/{canceled}/cancel").status_code in (200, 202)
    assert api.http.post("/jobs", json=song(loudness=-14.0)).status_code == 422
    world.wait_end(sung)

    # The API first: what workers of this release know they sing, what they do not they leave.
    next_api = world.api(before=next_release).wait_ready()
    plain, louder = accepted(next_api, seed=2), accepted(next_api, seed=3, loudness=-14.0)
    world.wait_end(plain)
    wait_log(worker, REFUSED, times=2)
    waiting = world.store.get(louder)
    assert (waiting.status, waiting.fence, waiting.attempt, waiting.crashes) == ("queued", 0, 1, 0)
    everything = {
        sung: "succeeded",
        failed: "failed",
        canceled: "canceled",
        plain: "succeeded",
        louder: "queued",
    }
    assert jobs_of(api) == jobs_of(next_api) == everything
    assert api.http.get(f"/jobs/{louder}").json()["status"] == "queued"

    # A worker of the next release takes what was left, and dies with another such job.
    next_worker = world.worker(before=next_release)
    assert world.wait_end(louder).status is JobStatus.SUCCEEDED
    begun = accepted(next_api, seed=4, loudness=-14.0, duration_seconds=5.0)
    world.wait_kept(begun, "top", 1)
    next_worker.kill()

    # The way back: the job that only the next release can go on with stands still, and no other.
    next_api.end()
    wait_log(worker, f"{REFUSED} job_id={begun}", times=2)
    assert api.http.get(f"/jobs/{begun}").json()["status"] == "running"
    assert api.http.post(f"/jobs/{failed}/retry").status_code in (200, 202)
    later = accepted(api, seed=5)
    for job_id in (failed, later, sung, plain):
        assert_song(world, undisturbed, job_id)
    stopped = world.store.get(begun)
    assert (stopped.status, stopped.attempt, stopped.crashes) == ("running", 1, 0)

    # Forward again, and it goes on.
    world.worker(before=next_release)
    assert world.wait_end(begun).status is JobStatus.SUCCEEDED
    assert set(jobs_of(api).values()) == {"succeeded", "canceled"}


def restored(world):
    """Fill the world with what the older release left; returns the ids by state."""
    stored = json.loads(RECORDS.read_text())
    with redis.Redis.from_url(world.redis_url, decode_responses=True) as server:
        for key, entry in stored["keys"].items():
            value = entry["value"]
            if entry["type"] == "hash":
                # The lease of that time is over, whatever this machine's clock says.
                over = {"lease_expires_at": "1"} if "lease_expires_at" in value else {}
                server.hset(key, mapping=value | over)
            elif entry["type"] == "zset":
                is_due = key == "jukebox:due"
                server.zadd(key, {member: 1 if is_due else score for member, score in value})
            elif entry["type"] == "stream":
                for fields in value:
                    server.xadd(key, fields)
            else:
                server.set(key, value)
    for name, content in stored["files"].items():
        path = world.data_dir / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    return stored["jobs"]


def test_songs_begun_before_records_had_a_format_are_read_and_finished(world, undisturbed):
    jobs = restored(world)
    api = world.api().wait_ready()
    before = jobs_of(api)
    states = {name: before[job_id] for name, job_id in jobs.items()}
    assert states == {name: "running" if name == "released" else name for name in jobs}
    kept = json.loads(RECORDS.read_text())["keys"][f"jukebox:job:{jobs['running']}"]["value"]
    windows = {field: json.loads(kept[field])["name"] for field in kept if "window:" in field}
    assert len(windows) == 2
    world.worker()
    assert api.http.post(f"/jobs/{jobs['failed']}/retry").status_code in (200, 202)
    for state in ("queued", "released", "failed"):
        assert_song(world, undisturbed, jobs[state])
    assert world.wait_end(jobs["canceling"]).status is JobStatus.CANCELED
    gone_on = world.wait_end(jobs["running"])
    assert gone_on.status is JobStatus.SUCCEEDED
    assert set(windows.values()) <= {file.name for file in gone_on.codes}, "nothing is drawn twice"
    assert api.http.get(f"/jobs/{jobs['succeeded']}/codes").status_code == 200
    listed = api.http.get("/jobs?sort=title&limit=100").json()["data"]
    assert {job["id"] for job in listed} >= set(jobs.values()), "old songs are in new lists"
