"""Which model is meant where none is named, and where one that is named lies."""

import pytest

from cli.errors import UsageError
from cli.local_model import default_model, model_directory
from jukebox_core.models.catalog import BUNDLED_MODELS


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["mini"], "mini"),
        (["mini", "mine"], "mine"),
        (["mine"], "mine"),
        (["5b_lyrics", "mine", "mini"], None),
        ([], None),
    ],
)
def test_the_only_model_beside_the_bundled_one_is_meant(names, meant):
    assert default_model(names) == meant


def test_a_folder_of_one_s_own_comes_before_the_bundled_model(tmp_path):
    assert model_directory("mini", tmp_path) == BUNDLED_MODELS / "mini"
    own = tmp_path / "mini"
    own.mkdir()
    (own / "config.json").write_text("{}")
    assert model_directory("mini", tmp_path) == own


def test_a_model_that_is_nowhere_is_refused_with_the_one_that_is_there(tmp_path):
    with pytest.raises(UsageError, match="`mini` comes with this package"):
        model_directory("maxi", tmp_path)


def test_no_model_need_be_named_where_there_is_one(tmp_path):
    assert model_directory(None, tmp_path) == BUNDLED_MODELS / "mini"
    for name in ("mine", "5b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        if name == "mine":
            assert model_directory(None, tmp_path) == tmp_path / "mine"
    with pytest.raises(UsageError, match="--model; available: 5b, mine, mini"):
        model_directory(None, tmp_path)
