"""What a worker leaves in a bucket is named after the song, for those who are sent there."""

import pytest

from jobs.files.download_names import content_disposition
from jobs.files.storage import open_storage
from jobs.record.job import Stage
from jukebox_core.buckets import Bucket, BucketUrl
from tests.worker.jobs_and_processes import replaced, run_stage

pytestmark = pytest.mark.redis


def test_sounds_and_codes_in_a_bucket_have_the_name_of_the_song(
    service, worker, bucket_url, tmp_path
):
    url = BucketUrl(bucket_url)
    storage = open_storage(url, cache_dir=tmp_path, cache_bytes=1 << 30, patience_sec=60.0)
    worker = replaced(worker, artifacts=storage.artifacts)
    job = service.admit(levels=("top",), num_samples=2, audio_format="flac")
    for stage in (Stage.TOP, Stage.RENDER):
        run_stage(worker, job.id, stage)
    bucket, song = Bucket(url), f"The Sawtooths - {job.id[:12]}"
    named = {}
    for each in bucket.below(f"artifacts/{job.id}"):
        headers = bucket.metadata(each.key)[0]
        if "Content-Disposition" in headers:
            of_file = headers["Content-Disposition"], headers["Content-Type"]
            named[each.key.rpartition("/")[2]] = of_file
    assert named == {
        file: (content_disposition(f"{song}{ending}"), media_type)
        for file, ending, media_type in (
            ("top-00-fence000001.wav", ".wav", "audio/wav"),
            ("top-01-fence000001.wav", " (take 2).wav", "audio/wav"),
            ("top-00-fence000001.flac", ".flac", "audio/flac"),
            ("top-01-fence000001.flac", " (take 2).flac", "audio/flac"),
            ("codes-to-top-fence000001.safetensors", ".safetensors", "application/octet-stream"),
        )
    }
