"""Models that begin with the weights of another."""

import pytest
import torch

from jukebox_core.checkpoints import load_directory
from jukebox_core.checkpoints.convert import convert, open_directory
from jukebox_core.checkpoints.verify import verify
from jukebox_core.config import Weights
from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.fine_tuning import model_from
from tests.training.test_data import write_songs

SONGS = [
    {"file": "a.wav", "artist": "Mx Zero", "genre": "slow waltz"},
    {"file": "b.wav", "artist": "somebody new", "genre": "polka"},
]


@pytest.fixture
def data(tmp_path):
    return write_songs(tmp_path / "data", SONGS)


def test_known_names_keep_their_rows_and_new_ones_begin_at_the_mean(tmp_path, data, tiny_model_dir):
    model_from(tiny_model_dir, data, tmp_path / "mine")
    assert all(finding.is_fine for finding in verify(tmp_path / "mine"))
    old, new = load_directory(tiny_model_dir), load_directory(tmp_path / "mine")
    for before, after in zip(old.priors, new.priors, strict=True):
        version = before.config.labels.version
        ids = [parts.tokenizer.vocabularies[version].resolve_artist for parts in (old, new)]
        rows = before.labels.artist.weight, after.labels.artist.weight
        torch.testing.assert_close(rows[1][ids[1]("mx zero").id], rows[0][ids[0]("mx zero").id])
        torch.testing.assert_close(rows[1][ids[1]("somebody new").id], rows[0].mean(dim=0))
        torch.testing.assert_close(rows[1][0], rows[0][0])
        assert not ids[1]("the sawtooths").known
        assert len(rows[1]) == 3


def test_all_other_weights_and_the_terms_are_those_of_the_source(tmp_path, data, tiny_model_dir):
    model_from(tiny_model_dir, data, tmp_path / "mine")
    old, new = load_directory(tiny_model_dir), load_directory(tmp_path / "mine")
    assert new.config.licence == old.config.licence
    for before, after in zip((old.vqvae, *old.priors), (new.vqvae, *new.priors), strict=True):
        after_weights = after.state_dict()
        for name, weight in before.state_dict().items():
            if not name.startswith(("labels.artist", "labels.genre")):
                torch.testing.assert_close(after_weights[name], weight, rtol=0, atol=0)


def test_int8_weights_are_no_beginning(tmp_path, data, tiny_model_dir):
    source = open_directory(tiny_model_dir)
    convert(source, tmp_path / "int8", described_as="tiny", weights=Weights.INT8)
    with pytest.raises(TrainingError, match="int8 weights, which cannot be trained"):
        model_from(tmp_path / "int8", data, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_chosen_names_stay_although_no_song_has_them(tmp_path, data, tiny_model_dir):
    model_from(tiny_model_dir, data, tmp_path / "mine", keep=["The Sawtooths", "sea shanty"])
    resolved = load_directory(tmp_path / "mine").tokenizer.resolve("the sawtooths", "sea shanty")
    for level in ("top", "middle"):
        assert resolved[level]["artist"]["known"]
        # v2 has one word of the genre in its list.
        assert any(genre["known"] for genre in resolved[level]["genres"])


def test_all_names_may_be_kept(tmp_path, data, tiny_model_dir):
    made = model_from(tiny_model_dir, data, tmp_path / "mine", keep_all=True)
    assert made.config.priors[0].labels.num_artists == 10


def test_a_name_to_keep_that_nobody_knows_is_refused(tmp_path, data, tiny_model_dir):
    with pytest.raises(TrainingError, match="nobody at all"):
        model_from(tiny_model_dir, data, tmp_path / "mine", keep=["nobody at all"])
