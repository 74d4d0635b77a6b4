"""The promises of the service with its files in a bucket, and workers that share no disk."""

import hashlib
import time
from dataclasses import dataclass, field

import pytest

from jobs.files.storage import open_storage
from jukebox_core.buckets import Bucket, BucketUrl
from tests.faults.promises import assert_nothing_left, assert_promises
from tests.faults.test_worker_faults import ONE_CRASH_SEC, SONG_SEC, START_SEC
from tests.faults.world import World
from tests.fixtures.s3_server import Fault, S3Server
from tests.worker.jobs_and_processes import LEASE_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

TUNING = "reaper_sec=0.3"
IMPATIENT = f"{TUNING},storage_patience_sec=2"


@dataclass(kw_only=True)
class BucketWorld(World):
    """A world whose processes have nothing in common but the server and the bucket."""

    bucket: BucketUrl
    s3: S3Server
    num_machines: int = field(default=0)

    def __post_init__(self):
        super().__post_init__()
        storage = open_storage(
            self.bucket, cache_dir=self.data_dir / "test", cache_bytes=1 << 30, patience_sec=20.0
        )
        self.artifacts = storage.artifacts

    def _environment(self, fault, **settings):
        """Of a process on a machine of its own."""
        self.num_machines += 1
        cache = self.data_dir / f"machine-{self.num_machines}"
        tuning = settings.pop("JUKEBOX_TUNING", TUNING)
        return super()._environment(
            fault,
            JUKEBOX_DATA_DIR=str(self.bucket),
            JUKEBOX_TUNING=f"{tuning},cache_dir={cache}",
            **self.s3.environment,
            **settings,
        )

    def files(self, job_id):
        return sorted(self.artifacts._objects(job_id))


@pytest.fixture
def world(redis_server, tmp_path, models_dir, s3_server, bucket_url):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    world = BucketWorld(
        redis_url=redis_server.url,
        data_dir=data_dir,
        models_dir=models_dir,
        server=redis_server,
        bucket=BucketUrl(bucket_url),
        s3=s3_server,
    )
    try:
        yield world
    finally:
        s3_server.heal()
        world.end()


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_a_worker_killed_in_a_level_is_followed_by_one_that_shares_no_disk_with_it(
    world, undisturbed, level
):
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, level, 1)
    first.kill()
    world.worker()
    assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC + SONG_SEC
    )


def test_a_worker_frozen_for_longer_than_its_lease_writes_nothing_any_more(world, undisturbed):
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "middle", 1)
    first.freeze()
    world.worker()
    world.wait(job_id, lambda job: job.fence > 1, timeout_sec=60)
    time.sleep(LEASE_SEC)
    first.thaw()
    assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=2 * START_SEC + ONE_CRASH_SEC + SONG_SEC
    )


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=503, code="SlowDown", every=3), id="throttled"),
        pytest.param(Fault(status=500, every=4), id="500"),
        pytest.param(Fault(delay_sec=0.2), id="slow"),
        pytest.param(Fault(methods="GET", truncate_bytes=50, every=2), id="truncated"),
    ],
)
def test_a_bucket_in_poor_health_costs_time_and_nothing_else(world, undisturbed, fault):
    world.s3.fail(fault)
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "middle", 2)
    first.kill()
    world.worker()
    assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=2 * START_SEC + ONE_CRASH_SEC + SONG_SEC
    )


@pytest.mark.parametrize("how", ["refuses", "frozen"])
def test_a_bucket_that_is_away_for_longer_than_a_lease_loses_nothing(world, undisturbed, how):
    world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "middle", 1)
    if how == "frozen":
        world.s3.freeze()
    else:
        world.s3.fail(Fault(status=503, code="ServiceUnavailable"))
    time.sleep(2 * LEASE_SEC)
    assert not world.store.get(job_id).is_terminal
    world.s3.thaw()
    world.s3.heal()
    assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=2 * START_SEC + 2 * LEASE_SEC + SONG_SEC
    )


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(methods="PUT", status=400, code="ExpiredToken"), id="expired"),
        pytest.param(Fault(methods="PUT POST", status=503, code="SlowDown"), id="away"),
    ],
)
def test_a_bucket_that_refuses_for_good_fails_the_song_and_a_retry_goes_on(
    world, undisturbed, fault
):
    worker = world.worker(JUKEBOX_TUNING=IMPATIENT)
    job_id = world.post(duration_seconds=SONG_SEC)
    kept = world.wait_kept(job_id, "middle", 1)
    world.s3.fail(fault)
    job = world.wait_end(job_id, timeout_sec=60)
    assert (job.status, job.error.code, job.error.retryable) == ("failed", "storage_failed", True)
    assert fault.code in job.error.message
    assert worker.is_alive
    world.s3.heal()
    waiting, _ = world.store.retry(job_id)
    world.queue.publish(job_id, waiting.stage)
    done = world.wait_end(job_id, timeout_sec=60)
    assert done.status == "succeeded"
    names = {window.name for window in done.windows}
    assert {window.name for window in kept.codes_of("top")} <= names, "these are not drawn again"
    song = undisturbed.song_like(done)
    assert [output.sha256 for output in done.outputs] == [each.sha256 for each in song.outputs]
    assert_nothing_left(world, [done])


def test_a_worker_without_a_model_takes_it_from_the_bucket_also_where_bodies_break_off(
    world, undisturbed
):
    bucket = Bucket(world.bucket)
    for path in (world.models_dir / "tiny").rglob("*"):
        if path.is_file():
            bucket.upload(f"models/{path.relative_to(world.models_dir)}", path)
    world.s3.fail(Fault(methods="GET", path=".safetensors", truncate_bytes=100_000, every=2))
    world.worker(JUKEBOX_MODELS_DIR=f"{world.bucket}/models")
    job_id = world.post(duration_seconds=SONG_SEC)
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC)
    copies = [*world.data_dir.glob("machine-*/models/*/tiny/*.safetensors")]
    assert {path.name for path in copies} == {
        path.name for path in (world.models_dir / "tiny").glob("*.safetensors")
    }


def test_an_api_on_another_machine_serves_what_the_workers_wrote(world, undisturbed):
    world.worker()
    api = world.api().wait_ready()
    body = {"mode": "ancestral", "model": "tiny", "lyrics": "la la", "seed": 3}
    body |= {"duration_seconds": 1.3, "artist": "The Sawtooths", "genre": "drone"}
    job_id = api.http.post("/jobs", json=body).raise_for_status().json()["id"]
    live = api.http.get(f"/jobs/{job_id}/live")
    assert live.status_code == 200
    job = world.wait_end(job_id)
    output = job.outputs[-1]
    assert len(live.content) >= output.num_bytes - 200, "heard to its end while it was made"
    whole = api.http.get(f"/jobs/{job_id}/audio", params={"format": "wav"})
    assert hashlib.sha256(whole.content).hexdigest() == output.sha256
    etag = {"If-None-Match": whole.headers["etag"]}
    assert api.http.get(f"/jobs/{job_id}/audio?format=wav", headers=etag).status_code == 304
    part = api.http.get(f"/jobs/{job_id}/audio?format=wav", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    for path in ("codes", "archive", "peaks", "spectrogram.png", "alignment", "audio?format=flac"):
        assert api.http.get(f"/jobs/{job_id}/{path}").status_code == 200, path
    upload = api.http.post("/assets", files={"file": ("a.wav", whole.content)})
    assert upload.status_code == 201, upload.text
    world.s3.fail(Fault(status=503, code="SlowDown"))
    gone = api.http.get(f"/jobs/{job_id}/audio?format=wav")
    assert (gone.status_code, gone.json()["code"]) == (503, "storage_unavailable")
    assert int(gone.headers["retry-after"]) > 0
    world.s3.heal()
    assert api.http.delete(f"/jobs/{job_id}", params={"permanent": True}).status_code == 204
    assert world.files(job_id) == []
