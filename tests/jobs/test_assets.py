"""An asset is there with all that belongs to it, or not at all."""

import os
import threading
from datetime import UTC, datetime

import pytest

from jobs.errors import AssetNotFound
from jobs.files.assets import ABANDONED_AFTER_SEC, Asset, LocalAssets, is_asset_id, new_asset_id
from tests.fixtures.ids import NOBODYS_ASSET

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def assets(tmp_path):
    return LocalAssets(tmp_path / "assets")


def new_asset(**changes) -> Asset:
    facts = {
        "id": new_asset_id(),
        "kind": "audio",
        "sha256": "0" * 64,
        "num_bytes": 5,
        "created_at": NOON,
        "duration_sec": 1.5,
        **changes,
    }
    return Asset(**facts)


def kept(assets, content=b"sound", **changes) -> Asset:
    asset = new_asset(**changes)
    with assets.draft() as folder:
        (folder / "x").write_bytes(content)
        assets.keep(folder / "x", asset)
    return asset


def files(tmp_path):
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["audio", "codes"])
def test_an_asset_comes_back_equal(assets, kind):
    asset = kept(assets, kind=kind, num_tokens={"top": 3}, model="tiny")
    assert assets.get(asset.id) == asset
    assert assets.path(asset).read_bytes() == b"sound"


def test_a_draft_that_is_not_kept_leaves_nothing(assets, tmp_path):
    with assets.draft() as folder:
        (folder / "x").write_bytes(b"x")
    assert files(tmp_path) == []
    kept(assets)
    assert len(files(tmp_path)) == 2
    assert not list((tmp_path / "assets").glob(".draft-*"))


def test_a_draft_of_a_dead_process_is_removed_by_the_next(assets, tmp_path):
    dead = tmp_path / "assets" / ".draft-dead"
    dead.mkdir(parents=True)
    with assets.draft():
        assert dead.exists()
    old = dead.stat().st_mtime - ABANDONED_AFTER_SEC - 1
    os.utime(dead, (old, old))
    with assets.draft():
        assert not dead.exists()


def test_a_deleted_asset_is_gone(assets, tmp_path):
    asset = kept(assets)
    assets.delete(asset.id)
    for look in (lambda: assets.get(asset.id), lambda: assets.path(asset)):
        with pytest.raises(AssetNotFound):
            look()
    with pytest.raises(AssetNotFound):
        assets.delete(asset.id)
    assert files(tmp_path) == []


@pytest.mark.parametrize("text", ["", "..", "asset_", "asset_" + "g" * 32, "../" + NOBODYS_ASSET])
def test_what_is_no_id_reaches_no_file(assets, text):
    assert not is_asset_id(text)
    for ask in (assets.get, assets.delete):
        with pytest.raises(AssetNotFound):
            ask(text)
    with pytest.raises(ValueError, match="new_asset_id"):
        kept(assets, id=text)


def test_of_many_who_delete_at_once_one_succeeds(assets):
    asset, outcomes = kept(assets), []

    def delete():
        try:
            assets.delete(asset.id)
        except AssetNotFound:
            outcomes.append("missing")
        else:
            outcomes.append("deleted")

    threads = [threading.Thread(target=delete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["deleted"] + ["missing"] * 7


def test_an_asset_that_cannot_be_removed_keeps_no_other_from_going(assets, monkeypatch):
    ids = sorted(kept(assets).id for _ in range(3))
    delete = assets.delete

    def refuse_the_first(asset_id):
        if asset_id == ids[0]:
            raise PermissionError(13, "denied")
        delete(asset_id)

    monkeypatch.setattr(assets, "delete", refuse_the_first)
    assert sorted(assets.delete_older(-1.0)) == ids[1:]
