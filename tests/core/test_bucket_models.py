"""Models in a bucket are planned for at once, and their weights come when they are needed."""

import errno
import hashlib
import shutil
import threading
from pathlib import Path

import pytest
import torch

from api.settings import ApiSettings
from jobs.setting_groups import InvalidSettings
from jukebox_core.buckets import Bucket, BucketUrl
from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
from jukebox_core.errors import DownloadError, ModelNotFound
from jukebox_core.models.bucket_models import SUMS_FILE, BucketModels
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.units import Level
from tests.fixtures.s3_server import Fault


class Remote:
    """A bucket with models, as an operator puts them there."""

    def __init__(self, url, tmp_path, models_dir):
        self.bucket = Bucket(BucketUrl(url), patience_sec=2.0)
        self._tmp_path, self._models_dir = tmp_path, models_dir
        self.num_machines = 0

    def put(self, name, *, sums=None):
        directory = self._tmp_path / name
        shutil.copytree(self._models_dir / "tiny", directory)
        if sums is not None:
            (directory / SUMS_FILE).write_text(sums)
        for path in directory.rglob("*"):
            if path.is_file():
                self.bucket.upload(f"{name}/{path.relative_to(directory)}", path)
        return directory

    def machine(self):
        self.num_machines += 1
        return BucketModels(self.bucket, self._tmp_path / f"machine-{self.num_machines}")


@pytest.fixture
def remote(bucket_url, tmp_path, models_dir):
    return Remote(bucket_url, tmp_path, models_dir)


def weights_below(folder):
    return sorted(path.name for path in folder.rglob("*.safetensors"))


def test_a_model_is_planned_for_before_its_weights_are_here_and_loads_after(remote, s3_server):
    original = remote.put("song")
    models = remote.machine()
    models.refresh()
    card = ModelCatalog(models.folder).get("song")
    assert (card.num_bytes, card.tokenizer is not None) == (
        sum(path.stat().st_size for path in original.glob("*.safetensors")),
        True,
    )
    assert weights_below(models.folder) == []
    models.fetch(card.directory, "prior_top")
    assert weights_below(models.folder) == ["prior_top.safetensors"], "no other level's"
    models.fetch(card.directory, "vqvae")
    options = {"device": torch.device("cpu"), "dtype": torch.float32}
    there = load_prior_of(card.directory, Level.TOP, **options).state_dict()
    for name, tensor in load_prior_of(original, Level.TOP, **options).state_dict().items():
        torch.testing.assert_close(there[name], tensor, rtol=0, atol=0)
    load_vqvae_of(card.directory, device=torch.device("cpu"))
    s3_server.requests()
    models.fetch(card.directory, "prior_top")
    models.refresh()
    assert s3_server.requests()["GET"] == 0, "what is here is not fetched again"


def test_two_models_share_the_parts_that_are_the_same(remote, s3_server):
    remote.put("one")
    remote.put("two")
    models = remote.machine()
    models.refresh()
    models.fetch(models.folder / "one", "prior_top")
    s3_server.requests()
    models.fetch(models.folder / "two", "prior_top")
    assert s3_server.requests()["GET"] == 0
    first, second = (models.folder / name / "prior_top.safetensors" for name in ("one", "two"))
    assert first.samefile(second)


def test_a_download_that_broke_goes_on_where_it_was(remote, s3_server):
    original = remote.put("song")
    size = (original / "prior_top.safetensors").stat().st_size
    models = remote.machine()
    models.refresh()
    seen = []
    s3_server.fail(
        Fault(methods="GET", path="prior_top", truncate_bytes=size // 2, times=1),
        Fault(methods="GET", path="prior_top", status=403, code="ExpiredToken"),
    )
    with pytest.raises(DownloadError, match="goes on from there"):
        models.fetch(models.folder / "song", "prior_top")
    assert weights_below(models.folder) == []
    s3_server.heal()
    s3_server.requests()
    models.fetch(models.folder / "song", "prior_top", lambda *args: seen.append(args))
    assert seen[-1] == ("prior_top.safetensors", size, size)
    assert s3_server.requests()["bytes out"] < size * 0.9
    assert (models.folder / "song" / "prior_top.safetensors").read_bytes() == (
        original / "prior_top.safetensors"
    ).read_bytes()


def test_weights_of_another_hash_are_thrown_away(remote):
    remote.put("song", sums=f"{hashlib.sha256(b'x').hexdigest()}  prior_top.safetensors\n")
    models = remote.machine()
    models.refresh()
    with pytest.raises(DownloadError, match=r"thrown\s+away"):
        models.fetch(models.folder / "song", "prior_top")
    models.fetch(models.folder / "song", "vqvae")
    assert weights_below(models.folder) == ["vqvae.safetensors"]
    assert not [path for path in models.folder.parent.rglob("*.part")]


def test_of_two_who_fetch_at_once_one_does(remote, s3_server):
    remote.put("song")
    models = remote.machine()
    other = BucketModels(remote.bucket, models.folder.parents[1])
    models.refresh()
    s3_server.requests()
    threads = [
        threading.Thread(target=each.fetch, args=(models.folder / "song", "prior_bottom"))
        for each in (models, other, models, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s3_server.requests()["GET"] == 1
    assert weights_below(models.folder) == ["prior_bottom.safetensors"]


def test_what_changes_in_the_bucket_changes_here_and_what_is_away_stays(remote, s3_server):
    remote.put("song")
    remote.put("other")
    models = remote.machine()
    models.refresh()
    catalog = ModelCatalog(models.folder)
    models.fetch(models.folder / "song", "prior_top")
    assert catalog.names() == ("other", "song")
    s3_server.fail(Fault(status=503, code="SlowDown"))
    models.keep_fresh()
    assert catalog.names() == ("other", "song")
    s3_server.heal()
    remote.bucket.delete([each.key for each in remote.bucket.below("other")])
    remote.bucket.write("song/prior_top.safetensors", b"new weights")
    models.refresh()
    assert catalog.names() == ("song",)
    assert weights_below(models.folder) == []
    models.fetch(models.folder / "song", "prior_top")
    assert (models.folder / "song" / "prior_top.safetensors").read_bytes() == b"new weights"
    with pytest.raises(ModelNotFound):
        catalog.get("other")


def test_a_disk_that_is_full_gathers_no_unfinished_files(remote, monkeypatch):
    remote.put("song")
    models, write = remote.machine(), Path.write_bytes

    def write_half(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space left"):
        models.refresh()
    assert [path.name for path in models.folder.rglob("*.*") if path.name != ".lock"] == []


def test_a_cache_folder_that_cannot_be_written_is_told_at_the_start(remote, bucket_url, tmp_path):
    file = tmp_path / "file"
    file.touch()
    settings = ApiSettings(
        redis_url="redis://127.0.0.1:1", models_dir=bucket_url, cache_dir=file / "cache"
    )
    with pytest.raises(InvalidSettings, match=r"cannot be written.*cache_dir="):
        settings.open_models()
