"""What the catalog says of absent and growing models, and of the names in those it has."""

import shutil

import pytest

from jukebox_core.errors import LabelError, ModelNotFound
from jukebox_core.models.catalog import ModelCatalog, ModelState
from jukebox_core.models.pull_lock import finish_pulling, pulling_place
from jukebox_core.models.released import RELEASED_MODELS


def test_a_released_model_is_absent_then_pulling_then_ready(tiny_model_dir, tmp_path):
    catalog = ModelCatalog(tmp_path)
    assert catalog.state("5b") is ModelState.ABSENT
    assert [model.name for model in catalog.absent()] == list(RELEASED_MODELS)
    with pulling_place(tmp_path, "5b") as place:
        assert catalog.state("5b") is ModelState.PULLING
        assert catalog.names() == ()
        finished = place / "5b"
        finished.mkdir()
        (finished / "config.json").write_bytes((tiny_model_dir / "config.json").read_bytes())
        finish_pulling(place, finished, tmp_path / "5b")
    assert catalog.state("5b") is ModelState.READY
    assert catalog.names() == ("5b",)
    assert "5b" not in [model.name for model in catalog.absent()]


def test_a_pull_that_failed_leaves_the_model_absent(tmp_path):
    with pytest.raises(OSError, match="no more"), pulling_place(tmp_path, "5b"):
        raise OSError("no more")
    assert ModelCatalog(tmp_path).state("5b") is ModelState.ABSENT


def test_a_model_that_could_be_fetched_says_how(tmp_path):
    with pytest.raises(ModelNotFound, match="`jukebox models pull 1b_lyrics` fetches it"):
        ModelCatalog(tmp_path).get("1b_lyrics")
    with pytest.raises(ModelNotFound, match=r"none at all$"):
        ModelCatalog(tmp_path).get("../secret")
    with (
        pulling_place(tmp_path, "1b_lyrics"),
        pytest.raises(ModelNotFound, match="still being fetched"),
    ):
        ModelCatalog(tmp_path).get("1b_lyrics")


def test_names_are_searched_in_a_model_and_the_index_is_kept(models_dir):
    catalog = ModelCatalog(models_dir)
    assert catalog.search("tiny").artists("sawtoth", 3)[0].name == "the sawtooths"
    assert catalog.search("tiny") is catalog.search("tiny")


def test_a_model_without_lists_cannot_be_searched(tiny_model_dir, tmp_path):
    (tmp_path / "mute").mkdir()
    (tmp_path / "mute" / "config.json").write_bytes((tiny_model_dir / "config.json").read_bytes())
    with pytest.raises(LabelError, match="without lists"):
        ModelCatalog(tmp_path).search("mute")


def test_a_bundled_model_is_there_until_a_folder_of_its_name_stands_before_it(
    tiny_model_dir, tmp_path
):
    bundled, models_dir = tmp_path / "bundled", tmp_path / "models"
    shutil.copytree(tiny_model_dir, bundled / "mini")
    catalog = ModelCatalog(models_dir, bundled)
    assert catalog.names() == ("mini",)
    assert catalog.get("mini").directory == bundled / "mini"
    shutil.copytree(tiny_model_dir, models_dir / "mini")
    assert catalog.names() == ("mini",)
    assert catalog.get("mini").directory == models_dir / "mini"
