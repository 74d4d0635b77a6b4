"""What files of jobs and assets promise, wherever they are kept: in a folder or in a bucket."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import obstore
import pytest

from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import (
    ApiKeysUnreadable,
    ArtifactCorrupt,
    ArtifactNotFound,
    AssetNotFound,
    LeaseLost,
)
from jobs.files.artifacts import RemoteFile, analysis_name, peaks_name
from jobs.files.assets import Asset, new_asset_id
from jobs.files.bucket_artifacts import NUM_READERS, BucketArtifacts
from jobs.files.documents import open_documents
from jobs.files.growing_sound import longest_rows
from jobs.files.storage import open_storage
from jobs.files.stored_bytes import StoredBytes
from jobs.record.job import new_job_id
from jobs.webhooks.signing import WebhookSecrets
from jukebox_core.buckets import Bucket, BucketUrl, StoredObject, read_place
from jukebox_core.errors import BucketError
from tests.fixtures.ids import NOBODYS_ASSET, NOBODYS_JOB
from tests.fixtures.s3_server import Fault
from tests.jobs.test_artifacts import BAD_IDS, BAD_NAMES

JOB_ID = NOBODYS_JOB
CODES = np.arange(2 * 5).reshape(2, 5)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def storage_in(place, folder, *, cache_bytes=1 << 30, patience_sec=60.0):
    return open_storage(
        read_place(place), cache_dir=folder, cache_bytes=cache_bytes, patience_sec=patience_sec
    )


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "data")
    return request.getfixturevalue("bucket_url")


@pytest.fixture
def storage(place, tmp_path):
    return storage_in(place, tmp_path / "here")


@pytest.fixture
def elsewhere(place, tmp_path):
    """The same files as a process on another machine sees them."""
    return storage_in(place, tmp_path / "elsewhere")


@pytest.fixture
def artifacts(storage):
    return storage.artifacts


def write(artifacts, name, content=b"content", *, fence=None):
    with artifacts.new_file(JOB_ID, name, fence=fence) as path:
        path.write_bytes(content)


def write_window(artifacts, *, fence=1, start=0, codes=CODES):
    return artifacts.write_codes(JOB_ID, fence=fence, level="top", start=start, codes=codes)


def test_what_one_machine_writes_another_reads(storage, elsewhere):
    window = write_window(storage.artifacts, start=7)
    name = storage.artifacts.write_all_codes(
        JOB_ID, fence=1, codes={"top": CODES}, metadata={"seed": "7"}
    )
    write(storage.artifacts, "top-00-fence000001.wav", b"sound")
    there = elsewhere.artifacts
    np.testing.assert_array_equal(there.read_codes(JOB_ID, window), CODES)
    np.testing.assert_array_equal(there.read_all_codes(JOB_ID, name)["top"], CODES)
    path = there.path(JOB_ID, "top-00-fence000001.wav")
    assert (path.name, path.read_bytes()) == ("top-00-fence000001.wav", b"sound")
    assert there.fingerprint(JOB_ID, window.name) == (window.sha256, window.num_bytes)
    assert there.stored_bytes()[JOB_ID] > window.num_bytes + 5


def test_a_file_has_its_name_only_when_it_is_whole(artifacts):
    def write_half():
        with artifacts.new_file(JOB_ID, "top-0.wav") as path:
            path.write_bytes(b"half")
            with pytest.raises(ArtifactNotFound):
                artifacts.path(JOB_ID, "top-0.wav")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    with pytest.raises(ArtifactNotFound):
        artifacts.path(JOB_ID, "top-0.wav")


def test_what_was_deleted_or_replaced_elsewhere_is_not_read_from_a_copy(artifacts, elsewhere):
    write(artifacts, "alignment-0.json", b"old")
    there = elsewhere.artifacts
    assert there.path(JOB_ID, "alignment-0.json").read_bytes() == b"old"
    write(artifacts, "alignment-0.json", b"new")
    assert there.path(JOB_ID, "alignment-0.json").read_bytes() == b"new"
    artifacts.discard(JOB_ID, "alignment-0.json")
    with pytest.raises(ArtifactNotFound):
        there.path(JOB_ID, "alignment-0.json")


def test_a_window_with_another_hash_is_noticed(artifacts):
    window = write_window(artifacts)
    write(artifacts, window.name, b"something else", fence=1)
    with pytest.raises(ArtifactCorrupt, match="recorded hash"):
        artifacts.read_codes(JOB_ID, window)
    artifacts.discard(JOB_ID, window.name)
    with pytest.raises(ArtifactNotFound):
        artifacts.read_codes(JOB_ID, window)


def test_windows_that_are_read_ahead_are_those_that_are_there(artifacts):
    windows = [write_window(artifacts, start=5 * n, codes=CODES + n) for n in range(40)]
    artifacts.discard(JOB_ID, windows[35].name)
    with artifacts.read_ahead(JOB_ID, windows):
        for number, window in enumerate(windows[:35]):
            np.testing.assert_array_equal(artifacts.read_codes(JOB_ID, window), CODES + number)
        with pytest.raises(ArtifactNotFound):
            artifacts.read_codes(JOB_ID, windows[35])


def test_windows_in_a_bucket_are_fetched_several_at_once_and_in_bounded_number(
    bucket_url, tmp_path, monkeypatch
):
    artifacts = storage_in(bucket_url, tmp_path).artifacts
    windows = [write_window(artifacts, start=5 * n) for n in range(40)]
    reads = ReadsAtOnce(bucket_url, NUM_READERS)
    monkeypatch.setattr(Bucket, "read", lambda *call: reads.read(*call))
    with artifacts.read_ahead(JOB_ID, windows):
        for window in windows[:30]:
            artifacts.read_codes(JOB_ID, window)
    assert reads.most_at_once == NUM_READERS
    assert 30 <= len(reads.keys) <= 40
    assert len(set(reads.keys)) == len(reads.keys), "each once"


class ReadsAtOnce:
    """Counts the reads of objects below one URL; the first few go on when they all have begun."""

    def __init__(self, url: str, num_together: int) -> None:
        self.keys: list[str] = []
        self.most_at_once = self._num_present = 0
        self._url, self._num_together = url, num_together
        self._gate = threading.Barrier(num_together)
        self._lock, self._read = threading.Lock(), Bucket.read

    def read(self, bucket: Bucket, key: str) -> tuple[bytes, StoredObject]:
        if str(bucket.url) != self._url:  # of a service of another test
            return self._read(bucket, key)
        with self._lock:
            self.keys.append(key)
            is_first = len(self.keys) <= self._num_together
            self._num_present += 1
            self.most_at_once = max(self.most_at_once, self._num_present)
        try:
            if is_first:
                self._gate.wait(60)
            return self._read(bucket, key)
        finally:
            with self._lock:
                self._num_present -= 1


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_none_opens_nothing(artifacts, name):
    with pytest.raises(ArtifactNotFound):
        artifacts.path(JOB_ID, name)
    with pytest.raises(ArtifactNotFound):
        artifacts.to_send(JOB_ID, name)
    with pytest.raises(ValueError, match="not the name"), artifacts.new_file(JOB_ID, name):
        pass


@pytest.mark.parametrize("job_id", BAD_IDS)
def test_an_id_that_is_none_opens_nothing(artifacts, job_id):
    with pytest.raises(ArtifactNotFound):
        artifacts.path(job_id, "top-0.wav")
    assert artifacts.prune(job_id, set()) == []
    assert artifacts.growing_sounds(job_id) == []
    artifacts.remove_job(job_id)


def test_pruning_by_fence_spares_what_a_later_claim_writes(artifacts):
    kept, orphan, later = (write_window(artifacts, fence=fence) for fence in (1, 2, 3))
    for name in ("top-0.wav", peaks_name("top-0.wav"), analysis_name("top-0.wav")):
        write(artifacts, name)
    sound = artifacts.new_growing_sound(JOB_ID, level="top", row=0, fence=3)
    sound.append(np.arange(10, dtype=np.int16))
    assert artifacts.prune(JOB_ID, {kept.name, "top-0.wav"}, fences=range(3)) == [orphan.name]
    sound.close()
    gone = artifacts.prune(JOB_ID, {kept.name}, fences=range(3))
    assert "top-0.wav" in gone
    assert later.name not in gone


def test_only_the_newest_files_of_a_pattern_are_kept(artifacts):
    for number in range(3):
        write(artifacts, f"top-0.{number}.flac")
        time.sleep(0.05)  # a file system may count in steps of 10 ms
    write(artifacts, "top-0.flac")
    artifacts.keep_newest(JOB_ID, "top-0.*.flac", 1)
    for name, is_there in (("top-0.2.flac", True), ("top-0.0.flac", False), ("top-0.flac", True)):
        if is_there:
            artifacts.path(JOB_ID, name)
            continue
        with pytest.raises(ArtifactNotFound):
            artifacts.path(JOB_ID, name)


def test_a_removed_job_has_no_files(artifacts):
    write_window(artifacts)
    other_id = new_job_id()
    with artifacts.new_file(other_id, "top-0.wav") as path:
        path.write_bytes(b"sound")
    artifacts.remove_job(JOB_ID)
    artifacts.remove_job(JOB_ID)
    assert artifacts.stored_bytes() == {other_id: 5}


def rows_of(artifacts):
    return longest_rows(artifacts.growing_sounds(JOB_ID), {"top": [0]}).get("top", [])


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_sound_that_is_being_made_is_heard_elsewhere_and_gone_at_its_end(artifacts, elsewhere):
    there, samples = elsewhere.artifacts, np.arange(3000, dtype=np.int16)
    sound = artifacts.new_growing_sound(JOB_ID, level="top", row=0, fence=2)
    for start in range(0, 3000, 1000):
        sound.append(samples[start : start + 1000])
    wait_until(lambda: [row.num_frames for row in rows_of(there)] == [3000])
    (row,) = rows_of(there)
    assert (row.fence, row.level, row.row) == (2, "top", 0)
    np.testing.assert_array_equal(row.read(500, 2000), samples[500:2500])
    np.testing.assert_array_equal(row.read(2500, 2000), samples[2500:])
    np.testing.assert_array_equal(np.concatenate([*sound.blocks()]), samples)
    sound.close()
    wait_until(lambda: not rows_of(there))
    assert there.stored_bytes().get(JOB_ID, 0) == 0


def new_asset(**changes) -> Asset:
    facts = {"id": new_asset_id(), "kind": "audio", "sha256": "0" * 64, "num_bytes": 5}
    return Asset(**{**facts, "created_at": NOON, **changes})


def kept(assets, content=b"sound", **changes) -> Asset:
    asset = new_asset(**changes)
    with assets.draft() as folder:
        (folder / "x").write_bytes(content)
        assets.keep(folder / "x", asset)
    return asset


@pytest.mark.parametrize("kind", ["audio", "codes"])
def test_an_asset_comes_back_equal_until_it_is_deleted(storage, elsewhere, kind):
    asset = kept(storage.assets, kind=kind, num_tokens={"top": 3}, model="tiny")
    there = elsewhere.assets
    assert there.get(asset.id) == asset
    assert there.path(asset).read_bytes() == b"sound"
    assert there.all_stored_bytes() == {asset.id: there.stored_bytes(asset.id)}
    storage.assets.delete(asset.id)
    for look in (
        lambda: there.get(asset.id),
        lambda: there.path(asset),
        lambda: there.stored_bytes(asset.id),
        lambda: there.delete(asset.id),
    ):
        with pytest.raises(AssetNotFound):
            look()
    assert there.all_stored_bytes() == {}


def test_assets_expire(storage):
    ids = {kept(storage.assets).id for _ in range(3)}
    assert storage.assets.delete_older(3600.0) == []
    assert set(storage.assets.delete_older(-2.0)) == ids


@pytest.mark.parametrize("text", ["", "..", "asset_", "asset_" + "g" * 32, "../" + NOBODYS_ASSET])
def test_what_is_no_id_reaches_no_asset(storage, text):
    for ask in (storage.assets.get, storage.assets.delete):
        with pytest.raises(AssetNotFound):
            ask(text)
    with pytest.raises(ValueError, match="new_asset_id"):
        kept(storage.assets, id=text)


# What only a bucket can do.


def test_a_data_folder_that_was_copied_into_a_bucket_is_what_it_was(bucket_url, tmp_path):
    """By any program that copies files: nothing is noted with the objects then."""
    local = storage_in(tmp_path / "data", tmp_path)
    window = write_window(local.artifacts)
    write(local.artifacts, "top-00-fence000001.wav", b"sound", fence=1)
    write(local.artifacts, "manifest.json", b"{}", fence=1)
    new, old = kept(local.assets), kept(local.assets)
    (tmp_path / "data" / "assets" / old.id / "sound").rename(
        tmp_path / "data" / "assets" / old.id / "sound.wav"
    )
    key, token = ApiKeyFile(tmp_path / "data").create("me", [Scope.READ])
    secrets = WebhookSecrets(tmp_path / "data").of(None)
    store = obstore.store.from_url(bucket_url, client_options={"allow_http": True})
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            obstore.put(store, str(path.relative_to(tmp_path / "data")), path)

    remote = storage_in(bucket_url, tmp_path / "here")
    np.testing.assert_array_equal(remote.artifacts.read_codes(JOB_ID, window), CODES)
    assert remote.artifacts.path(JOB_ID, "top-00-fence000001.wav").read_bytes() == b"sound"
    write(remote.artifacts, "manifest.json", b"{ }", fence=2)
    assert remote.artifacts.stored_bytes().keys() == local.artifacts.stored_bytes().keys()
    for asset in (new, old):
        assert remote.assets.path(remote.assets.get(asset.id)).read_bytes() == b"sound"
    assert ApiKeyFile(read_place(bucket_url)).find(token) == key
    assert WebhookSecrets(read_place(bucket_url)).of(None) == secrets


def test_nobody_waits_for_the_count_of_what_is_in_a_bucket(bucket_url, tmp_path, monkeypatch):
    storage = storage_in(bucket_url, tmp_path)
    write(storage.artifacts, "top-0.wav", b"x" * 1000)
    stored = StoredBytes(storage.artifacts, storage.assets, lambda _: "me")
    answers, count = threading.Event(), storage.artifacts.stored_bytes
    monkeypatch.setattr(storage.artifacts, "stored_bytes", lambda: answers.wait(60) and count())
    assert not stored.has_reached("me", 1500)
    stored.add("me", 200)
    assert not stored.has_reached("me", 200), "the bucket has not answered yet"
    answers.set()
    wait_until(lambda: stored.has_reached("me", 1199))
    assert not stored.has_reached("me", 1200)


def test_keys_and_secrets_in_a_bucket_are_changed_by_one_after_the_other(bucket_url):
    place = read_place(bucket_url)
    assert not ApiKeyFile(place).exists
    with ThreadPoolExecutor(4) as pool:
        tokens = [*pool.map(lambda n: ApiKeyFile(place).create(f"k{n}", [Scope.READ])[1], range(8))]
        roots = [*pool.map(lambda _: WebhookSecrets(place).of(None), range(4))]
    keys = ApiKeyFile(place)
    assert all(keys.find(token) is not None for token in tokens)
    assert len(set(roots)) == 1
    ApiKeyFile(place).revoke("k3")
    wait_until(lambda: keys.find(tokens[3]) is None)
    assert keys.find(tokens[2]) is not None


def test_keys_are_known_while_the_bucket_is_away(s3_server, bucket_url, monkeypatch):
    keys = ApiKeyFile(read_place(bucket_url))
    _, token = keys.create("me", [Scope.READ])
    assert keys.find(token) is not None
    readers = []

    def away(bucket, key):
        if str(bucket.url) == bucket_url:
            readers.append(threading.current_thread().name)
        raise BucketError("away", may_pass=True)

    with monkeypatch.context() as context:
        context.setattr(Bucket, "read", away)
        wait_until(lambda: len(readers) > 1)
        assert keys.find(token) is not None
        assert {*readers} == {"documents"}, "nobody waits for the bucket"
    s3_server.fail(Fault(status=503, code="SlowDown"))
    monkeypatch.setattr("jobs.files.documents._PATIENCE_SEC", 3.0)
    with pytest.raises(ApiKeysUnreadable, match="503"):
        assert ApiKeyFile(read_place(bucket_url)).exists


def test_documents_that_nobody_holds_are_not_watched_any_more(bucket_url):
    others = {*threading.enumerate()}
    documents = open_documents(read_place(bucket_url))
    assert documents.version("keys") is None
    (watch,) = {each for each in threading.enumerate() if each.name == "documents"} - others
    del documents
    watch.join(60)
    assert not watch.is_alive()


def test_a_claim_that_lost_its_lease_writes_nothing_over_a_later_one(bucket_url, tmp_path):
    late, now = (storage_in(bucket_url, tmp_path / name).artifacts for name in ("late", "now"))
    write(late, "manifest.json", b"first", fence=1)

    def write_late():
        with late.new_file(JOB_ID, "manifest.json", fence=1) as path:
            path.write_bytes(b"late")
            write(now, "manifest.json", b"second", fence=2)

    with pytest.raises(LeaseLost, match="claim 2"):
        write_late()
    assert now.path(JOB_ID, "manifest.json").read_bytes() == b"second"


@pytest.mark.parametrize("cut_bytes", [1, 100_000])
def test_a_body_that_is_cut_off_is_fetched_again(s3_server, bucket_url, tmp_path, cut_bytes):
    content = np.random.default_rng(0).bytes(200_000)
    write(storage_in(bucket_url, tmp_path / "a").artifacts, "top-0.wav", content)
    there = storage_in(bucket_url, tmp_path / "b").artifacts
    s3_server.fail(Fault(methods="GET", path="top-0", truncate_bytes=cut_bytes, times=1))
    assert there.path(JOB_ID, "top-0.wav").read_bytes() == content


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (429, "TooManyRequests")]
)
def test_a_server_that_fails_for_a_moment_is_asked_again(
    s3_server, bucket_url, tmp_path, status, code
):
    artifacts = storage_in(bucket_url, tmp_path).artifacts
    s3_server.fail(Fault(status=status, code=code, times=2))
    window = write_window(artifacts)
    s3_server.fail(Fault(status=status, code=code, times=2))
    np.testing.assert_array_equal(artifacts.read_codes(JOB_ID, window), CODES)


def test_a_bucket_that_stays_away_is_named_and_leaves_nothing_here(s3_server, bucket_url, tmp_path):
    artifacts = storage_in(bucket_url, tmp_path, patience_sec=3.0).artifacts
    s3_server.fail(Fault(status=503, code="SlowDown"))
    with pytest.raises(BucketError, match="503") as refused:
        write_window(artifacts)
    assert refused.value.may_pass
    assert bucket_url in str(refused.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "ask",
    [lambda bucket: bucket.head("x"), lambda bucket: list(bucket.below("x"))],
    ids=["head", "list"],
)
def test_a_bucket_that_accepts_requests_and_is_silent_is_away_when_patience_ends(
    s3_server, bucket_url, ask
):
    bucket, begun = Bucket(BucketUrl(bucket_url), patience_sec=0.5), time.monotonic()
    s3_server.freeze()
    try:
        with pytest.raises(BucketError) as away:
            ask(bucket)
    finally:
        s3_server.thaw()
    assert away.value.may_pass
    assert time.monotonic() - begun < 50, "a request alone may take 60 s"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (403, "AccessDenied")]
)
def test_credentials_that_are_refused_are_told_from_a_server_that_is_away(
    s3_server, bucket_url, tmp_path, status, code
):
    artifacts = storage_in(bucket_url, tmp_path).artifacts
    s3_server.fail(Fault(status=status, code=code))
    with pytest.raises(BucketError, match=f"{code}.*AWS_ACCESS_KEY_ID") as refused:
        write_window(artifacts)
    assert not refused.value.may_pass
    assert "secret" not in str(refused.value)


def test_a_bucket_that_does_not_exist_is_told_at_the_start(s3_server):
    with pytest.raises(BucketError, match="no bucket for s3://no-such-bucket/x"):
        Bucket(BucketUrl("s3://no-such-bucket/x")).read("folder-token")


@pytest.mark.parametrize(
    ("module", "variable", "place"),
    [
        ("api", "JUKEBOX_DATA_DIR", "s3://no-such-bucket/x"),
        ("api", "JUKEBOX_MODELS_DIR", "s3://no-such-bucket/x"),
        ("jobs.webhooks", "JUKEBOX_DATA_DIR", "s3://no-such-bucket/x"),
    ],
)
def test_a_process_says_at_its_start_that_its_bucket_is_not_there(
    s3_server, clean_redis_url, tmp_path, module, variable, place
):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("JUKEBOX_")},
        **{"REDIS_URL": clean_redis_url, "JUKEBOX_DATA_DIR": str(tmp_path), variable: place},
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", module], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()[-1:]
    assert "there is no bucket for s3://no-such-bucket/x: create it" in line
    assert "Traceback" not in done.stderr


def test_the_copies_on_a_machine_stay_within_their_bound(bucket_url, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.files.local_cache.IN_USE_SEC", 0.0)
    artifacts = storage_in(bucket_url, tmp_path, cache_bytes=50_000).artifacts
    for number in range(10):
        write(artifacts, f"top-{number}.wav", bytes(10_000))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 50_000
    assert len(artifacts.path(JOB_ID, "top-0.wav").read_bytes()) == 10_000


def test_a_large_file_goes_up_and_down_in_parts(s3_server, bucket_url, tmp_path):
    content = bytes(range(256)) * (80 << 10)
    write(storage_in(bucket_url, tmp_path / "a").artifacts, "top-0.wav", content)
    assert s3_server.requests()["PUT"] == 3
    there = storage_in(bucket_url, tmp_path / "b").artifacts
    part = there.to_send(JOB_ID, "top-0.wav")
    assert isinstance(part, RemoteFile)
    assert b"".join(part.read(1 << 20, 9 << 20)) == content[1 << 20 : 9 << 20]
    assert b"".join(part.read(len(content) - 1, len(content))) == content[-1:]
    assert there.path(JOB_ID, "top-0.wav").read_bytes() == content
    assert there.to_send(JOB_ID, "top-0.wav") == there.path(JOB_ID, "top-0.wav")


def test_what_is_sent_from_a_bucket_is_one_version_of_one_file(bucket_url, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.files.bucket_artifacts.COPIED_BYTES", 3)
    here = storage_in(bucket_url, tmp_path / "a").artifacts
    there = storage_in(bucket_url, tmp_path / "b").artifacts
    write(here, "top-0.wav", b"sound")
    parts = [there.to_send(JOB_ID, "top-0.wav") for _ in range(2)]
    assert b"".join(parts[0].read(1, 4)) == b"oun"
    write(here, "top-0.wav", b"other")
    with pytest.raises(ArtifactNotFound):
        list(parts[0].read(0, 5))
    here.remove_job(JOB_ID)
    with pytest.raises(ArtifactNotFound):
        list(parts[1].read(0, 5))
    with pytest.raises(ArtifactNotFound):
        there.to_send(JOB_ID, "top-0.wav")
    assert not there.has(JOB_ID, "top-0.wav")


def test_a_signed_url_needs_no_credentials(bucket_url, tmp_path):
    artifacts = storage_in(bucket_url, tmp_path).artifacts
    write(artifacts, "top-0.wav", b"sound")
    assert isinstance(artifacts, BucketArtifacts)
    with urllib.request.urlopen(artifacts.download_url(JOB_ID, "top-0.wav", 60.0).url) as response:
        assert response.read() == b"sound"


@pytest.mark.parametrize(
    "text",
    [
        *("http://host/x", "s3://", "s3:///x", "s3://bucket/x?region=eu", "s3://key:s@bucket"),
        *("s3:/bucket/x", "S3://bucket/x", "gs:bucket", "s3://bucket:80/x", "s3://b%75cket/x"),
        *("s3://bucket/x/../y", "s3://bucket/./x", "s3://bucket/x/..", "s3://bucket/x//y"),
        *("s3://bucket/x\ty", "s3://bucket/x y", "s3://bucket/x\\y", "s3://bucket/x\n"),
    ],
)
def test_a_url_that_is_no_bucket_is_refused(text):
    with pytest.raises(ValueError, match="neither a folder nor a bucket"):
        read_place(text)


@pytest.mark.parametrize(
    "text", ["s3://bucket", "gs://my-bucket.x/a+b/ä", "az://account/box/it's/"]
)
def test_a_prefix_of_other_characters_is_kept_as_it_is_written(text):
    assert str(read_place(text)) == text.rstrip("/")


@pytest.mark.parametrize("text", ["data", "C:/data", "a:b", "./s3:/x"])
def test_a_path_with_a_colon_is_a_folder(text):
    assert read_place(text) == Path(text)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "minio.example.com", "ftp://host", "http://", "http:/host", " "]
)
def test_an_endpoint_that_is_no_url_is_refused_in_words(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(BucketError, match="AWS_ENDPOINT_URL is no URL of a server") as refused:
        Bucket(BucketUrl("s3://bucket/x"))
    assert not refused.value.may_pass
