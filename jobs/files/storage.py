"""Where the files of the service are: one place, a folder or a bucket; all else follows."""

from dataclasses import dataclass
from pathlib import Path

from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets, LocalAssets
from jobs.files.bucket_artifacts import BucketArtifacts
from jobs.files.bucket_assets import BucketAssets
from jobs.files.local_artifacts import LocalArtifacts
from jobs.files.local_cache import LocalCache
from jukebox_core.buckets import Bucket, BucketUrl, Place


@dataclass(frozen=True, slots=True)
class Storage:
    """The files of jobs, and those that clients sent."""

    artifacts: Artifacts
    assets: Assets


def open_storage(
    place: Place, *, cache_dir: Path, cache_bytes: int, patience_sec: float
) -> Storage:
    """The files below a data folder, or below the URL of one in a bucket.

    Args:
        cache_dir: a folder of this machine for copies of what is in a bucket.
        cache_bytes: about the most that these copies take.
        patience_sec: how long a request of a bucket is repeated before it counts as failed.

    Raises:
        BucketError: the URL or the environment is of no use. Nothing is asked of the bucket yet.
        OSError: `cache_dir` cannot be written, which a bucket needs.
    """
    if not isinstance(place, BucketUrl):
        return Storage(LocalArtifacts(place / "artifacts"), LocalAssets(place / "assets"))
    bucket = Bucket(place, patience_sec=patience_sec)
    cache = LocalCache(cache_dir, max_bytes=cache_bytes)
    cache.check()
    return Storage(BucketArtifacts(bucket, cache), BucketAssets(bucket, cache))
