"""Untrained models that are ready to be trained."""

import pytest
import torch

from jukebox_core.checkpoints import load_directory
from jukebox_core.checkpoints.verify import verify
from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.new_model import new_model
from jukebox_core.units import Level
from tests.training.test_data import write_songs

SONGS = [
    {"file": "a.wav", "artist": "Ann", "genre": "slow hum", "lyrics": "la"},
    {"file": "b.wav", "artist": "bob", "genre": "march"},
]


def test_a_new_model_knows_the_names_of_the_songs_and_is_whole(tmp_path):
    data = write_songs(tmp_path / "data", SONGS)
    new_model(data, tmp_path / "mine", like="tiny", description="hums", licence="mine")
    assert all(finding.is_fine for finding in verify(tmp_path / "mine"))
    parts = load_directory(tmp_path / "mine")
    assert (parts.config.name, parts.config.description) == ("mine", "hums")
    resolved = parts.tokenizer.resolve("ANN", "slow hum")
    assert resolved["top"]["artist"]["known"]
    assert [genre["known"] for genre in resolved["middle"]["genres"]] == [True, True]
    assert not parts.tokenizer.resolve("who", "march")["top"]["artist"]["known"]


def test_mini_has_about_ten_million_parameters_and_an_early_alignment_head(tmp_path):
    data = write_songs(tmp_path / "data", SONGS)
    made = new_model(data, tmp_path / "mini", like="mini")
    assert 9e6 < sum(made.num_parameters.values()) < 11e6
    assert made.config.vqvae.samples_per_token == (16, 64, 256)
    top = made.config.prior(Level.TOP)
    assert top.lyrics.alignment_layer == top.transformer.layers.index("lyric_encoder") == 2


def test_the_same_seed_makes_the_same_model(tmp_path):
    data = write_songs(tmp_path / "data", SONGS)
    for name in ("one", "two", "other"):
        new_model(data, tmp_path / name, like="tiny", seed=1 if name == "other" else 0)
    one, two, other = (
        (tmp_path / name / "prior_top.safetensors").read_bytes() for name in ("one", "two", "other")
    )
    assert one == two
    assert one != other


def test_how_far_apart_two_places_are_is_the_same_everywhere_in_an_untrained_top_prior(tmp_path):
    data = write_songs(tmp_path / "data", SONGS)
    new_model(data, tmp_path / "mine", like="tiny")
    top, middle, _ = load_directory(tmp_path / "mine").priors
    places = top.position_embedding.detach()
    assert places.square().mean().sqrt() == pytest.approx(0.02, rel=0.01)
    likeness = places @ places.T
    torch.testing.assert_close(likeness[:-7, 7:].diagonal(), likeness[0, 7].expand(len(places) - 7))
    assert likeness[0, 7] < 0.9 * likeness[0, 0]
    others = middle.position_embedding.detach() @ middle.position_embedding.detach().T
    assert others[:-7, 7:].diagonal().std() > 0.1 * others.diagonal().mean()


def test_a_model_in_the_likeness_of_another_has_its_sizes_and_own_names(tmp_path, tiny_model_dir):
    data = write_songs(tmp_path / "data", SONGS)
    made = new_model(data, tmp_path / "mine", like=str(tiny_model_dir))
    assert made.config.vqvae == load_directory(tiny_model_dir).config.vqvae
    assert made.config.prior(Level.TOP).labels.num_artists == 3


def test_a_model_that_is_there_is_not_written_over(tmp_path):
    data = write_songs(tmp_path / "data", SONGS)
    (tmp_path / "mine").mkdir()
    with pytest.raises(TrainingError, match="there already"):
        new_model(data, tmp_path / "mine", like="tiny")


def test_genres_of_more_words_than_a_prior_reads_are_refused(tmp_path):
    songs = [{"file": "a.wav", "genre": "one two three four five six"}]
    data = write_songs(tmp_path / "data", songs)
    with pytest.raises(TrainingError, match="has 6 words"):
        new_model(data, tmp_path / "mine", like="tiny")
