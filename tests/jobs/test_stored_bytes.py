"""How much each API key has on the disk."""

from datetime import UTC, datetime

import pytest

from jobs.errors import JobNotFound
from jobs.files.assets import Asset, LocalAssets, new_asset_id
from jobs.files.local_artifacts import LocalArtifacts
from jobs.files.stored_bytes import StoredBytes
from jobs.record.job import new_job_id


class Disk:
    """Files of two keys, and a clock that stands still until it is moved."""

    def __init__(self, root) -> None:
        self.artifacts, self.assets = LocalArtifacts(root / "artifacts"), LocalAssets(root / "a")
        self.owners: dict[str, str] = {}
        self.now_sec, self.num_asked = 0.0, 0
        self.root = root
        self.stored = self.new_count()

    def new_count(self) -> StoredBytes:
        return StoredBytes(self.artifacts, self.assets, self._owner_of, clock=lambda: self.now_sec)

    def _owner_of(self, job_id: str) -> str:
        self.num_asked += 1
        if job_id not in self.owners:
            raise JobNotFound(job_id)
        return self.owners[job_id]

    def job(self, owner: str, num_bytes: int) -> str:
        job_id = new_job_id()
        self.owners[job_id] = owner
        self.grow(job_id, "top.wav", num_bytes)
        return job_id

    def grow(self, job_id: str, name: str, num_bytes: int) -> None:
        with self.artifacts.new_file(job_id, name) as path:
            path.write_bytes(b"x" * num_bytes)

    def asset(self, owner: str, num_bytes: int) -> Asset:
        asset = Asset(
            id=new_asset_id(),
            kind="codes",
            sha256="",
            num_bytes=1,
            created_at=datetime.now(UTC),
            owner=owner,
        )
        with self.assets.draft() as folder:
            (folder / "taken").write_bytes(b"x" * num_bytes)
            self.assets.keep(folder / "taken", asset)
        return asset

    def reaches(self, owner: str, limit_bytes: int) -> bool:
        self.now_sec += 60.0
        return self.stored.has_reached(owner, limit_bytes)


@pytest.fixture
def disk(tmp_path) -> Disk:
    return Disk(tmp_path)


def test_songs_formats_codes_and_assets_of_a_key_count_and_those_of_others_do_not(disk):
    job_id = disk.job("key", 1000)
    disk.asset("other", 50_000)
    assert not disk.reaches("key", 1000)
    disk.grow(job_id, "top.flac", 500)
    assert disk.reaches("key", 1499)
    asset = disk.asset("key", 2000)
    stored = disk.assets.stored_bytes(asset.id)
    assert stored > 2000
    assert disk.reaches("key", 1500 + stored - 1)
    assert not disk.reaches("key", 1500 + stored)


def test_what_is_deleted_counts_no_more_at_once(disk):
    asset, job_id = disk.asset("key", 5000), disk.job("key", 5000)
    assert disk.reaches("key", 4000)
    disk.assets.delete(asset.id)
    disk.artifacts.remove_job(job_id)
    disk.now_sec += 2.0
    assert not disk.stored.has_reached("key", 4000)


def test_a_count_that_starts_anew_after_a_crash_is_the_same(disk):
    disk.job("key", 1000)
    assert not disk.reaches("key", 1000)
    disk.stored.add("key", 1)
    assert disk.stored.has_reached("key", 1000)
    restarted = disk.new_count()
    assert not restarted.has_reached("key", 1000)
    assert restarted.has_reached("key", 999)


def test_asking_often_counts_rarely(disk):
    disk.job("key", 1000)
    assert disk.reaches("key", 1)
    for _ in range(100):
        assert disk.stored.has_reached("key", 1)
    assert disk.num_asked == 1


def test_what_an_upload_would_add_counts_too(disk):
    disk.job("key", 1000)
    assert not disk.reaches("key", 1000)
    assert disk.stored.has_reached("key", 1000, more_bytes=1)
