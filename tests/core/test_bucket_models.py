"""Models in a bucket are planned for at once, and their weights come when they are needed."""

import errno
import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from api.settings import ApiSettings
from cli.local.checks import (
    Surroundings,
    Verdict,
    check_data_folder,
    check_large_models,
    check_models,
)
from cli.local.stack import free_port
from cli.main import build_app
from jobs.setting_groups import InvalidSettings
from jukebox_core.buckets import Bucket, BucketUrl
from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
from jukebox_core.errors import BucketError, DownloadError, ModelNotFound
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
        redis_url="redis://127.0.0.1:1",
        data_dir=bucket_url,
        models_dir=bucket_url,
        cache_dir=file / "cache",
    )
    for opens, what in ((settings.open_models, "Models"), (settings.open_storage, "Files")):
        with pytest.raises(InvalidSettings, match=rf"{what} of .*cannot be written.*cache_dir="):
            opens()


def test_commands_list_and_check_models_of_a_bucket(remote, bucket_url, tmp_path, monkeypatch):
    """As an operator calls them where the service has all its files in buckets."""
    remote.put("song")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUKEBOX_DATA_DIR", bucket_url)
    monkeypatch.setenv("JUKEBOX_MODELS_DIR", bucket_url)
    monkeypatch.setenv("JUKEBOX_TUNING", f"cache_dir={tmp_path / 'cache'}")
    listed = CliRunner().invoke(build_app(), ["models", "list", "--json"])
    found = {model["name"]: model["state"] for model in json.loads(listed.stdout)}
    assert (found["song"], found["mini"]) == ("ready", "ready")
    named = CliRunner().invoke(build_app(), ["artists", "--model", "song", "modulo"])
    assert "aunt modulo" in named.stdout
    checked = CliRunner().invoke(build_app(), ["doctor", "--json"])
    findings = {each["what"]: each for each in json.loads(checked.stdout)}
    assert findings["data folder"]["found"] == f"{bucket_url} answers"
    assert "song" in findings["models"]["found"]
    pulled = CliRunner().invoke(build_app(), ["models", "pull", "5b", "--accept-license"])
    assert (pulled.exit_code, "no folder of this machine" in pulled.output) == (2, True)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("cache", "song")] == []
    assert weights_below(tmp_path / "cache") == []


def test_a_folder_of_models_needs_no_other_folder(bucket_url, tmp_path, monkeypatch, models_dir):
    """The container that pulls models has the settings of the service, files in a bucket or not."""
    monkeypatch.setenv("JUKEBOX_DATA_DIR", bucket_url)
    monkeypatch.setenv("JUKEBOX_MODELS_DIR", str(models_dir))
    for words in (["models"], ["models", "verify"], ["artists", "--model", "tiny"]):
        done = CliRunner().invoke(build_app(), words)
        assert (done.exit_code, "tiny" in done.output or "modulo" in done.output) == (0, True), (
            words
        )


def test_a_bucket_that_is_not_there_is_told_by_every_command(bucket_url, tmp_path, monkeypatch):
    away = bucket_url.replace("s3://", "s3://no-")
    monkeypatch.setenv("JUKEBOX_DATA_DIR", away)
    monkeypatch.setenv("JUKEBOX_MODELS_DIR", away)
    url, port = BucketUrl(away), free_port()
    place = Surroundings(
        data_dir=url, models_dir=url, host="127.0.0.1", port=port, url="", redis_url=None
    )
    for check in (check_data_folder, check_models, check_large_models):
        finding = check(place)
        assert finding.verdict is not Verdict.FINE
        assert "there is no bucket for" in finding.found
    with pytest.raises(BucketError, match="there is no bucket for"):
        CliRunner().invoke(build_app(), ["models"], catch_exceptions=False)
    words = ["serve", "--data-dir", str(tmp_path / "data"), "--port", str(port)]
    with pytest.raises(BucketError, match="there is no bucket for"):
        CliRunner().invoke(build_app(), words, catch_exceptions=False)
    assert not (tmp_path / "data").exists()
