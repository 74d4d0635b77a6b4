import json
from dataclasses import replace

import numpy as np
import pytest

from jukebox_core.errors import ConfigError, LabelError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from tests.labels.golden import LABELS_DIR, golden_config, golden_tokenizer

TOKENIZER = golden_tokenizer("prior_1b_lyrics")


def _vocabularies(*versions):
    return {version: Vocabulary.from_directory(LABELS_DIR, version) for version in versions}


def test_a_name_is_resolved_in_each_levels_own_version():
    resolution = TOKENIZER.resolve("Céline Dion", "Blues")
    assert resolution["top"] == {
        "version": "v3",
        "artist": {"name": "Céline Dion", "id": 5220, "known": True},
        "genres": [{"name": "Blues", "id": 236, "known": True}],
    }
    assert resolution["middle"] == resolution["bottom"]
    assert resolution["bottom"] == {
        "version": "v2",
        "artist": {"name": "Céline Dion", "id": 557, "known": True},
        "genres": [{"name": "blues", "id": 2, "known": True}],
    }


def test_a_name_may_be_known_below_and_unknown_at_the_top():
    resolution = TOKENIZER.resolve("Alan-Jackson", "Classic Rock")
    known = {level: value["artist"]["known"] for level, value in resolution.items()}
    assert known == {"top": False, "middle": True, "bottom": True}
    assert [genre["known"] for genre in resolution["top"]["genres"]] == [False]
    assert [genre["known"] for genre in resolution["middle"]["genres"]] == [True, True]


def test_a_resolution_is_ready_for_json():
    resolution = TOKENIZER.resolve("Nobody", "noise")
    assert json.loads(json.dumps(resolution)) == resolution


def test_labels_tell_what_every_name_became():
    labels = TOKENIZER(["Alan Jackson", "Nobody"], "Rock")
    assert labels.resolution[0] == TOKENIZER.resolve("Alan Jackson", "Rock")
    assert not labels.resolution[1]["top"]["artist"]["known"]


def test_one_string_serves_every_song_of_a_batch():
    labels = TOKENIZER(["Alan Jackson", "Céline Dion"], "Rock", "la la")
    assert [song[0].genre_ids for song in labels.songs] == [(40,), (40,)]
    assert labels.songs[0][0].lyric_ids == labels.songs[1][0].lyric_ids != ()


def test_lists_of_different_length_are_refused():
    with pytest.raises(LabelError, match=r"\[2, 3\] entries"):
        TOKENIZER(["a", "b"], ["x", "y", "z"])


def test_input_ids_look_like_those_of_the_hugging_face_tokenizer():
    top, middle, bottom = TOKENIZER("Alan Jackson", "Blues Rock", "old town road")["input_ids"]
    assert top.dtype == middle.dtype == np.int64
    lyrics = [41, 38, 30, 76, 46, 41, 49, 40, 76, 44, 41, 27, 30]
    assert top.tolist() == [[0, 0, 0, 6785, 282, *lyrics]]
    assert middle.tolist() == bottom.tolist() == [[0, 0, 0, 145, 2, 8, -1, -1, -1]]


def test_input_ids_of_lyrics_that_differ_in_length_are_refused():
    labels = TOKENIZER(["a", "b"], "Rock", ["la", "la la"])
    with pytest.raises(LabelError, match=r"\[2, 5\] characters"):
        labels["input_ids"]


def test_labels_have_no_other_key():
    with pytest.raises(KeyError):
        TOKENIZER("a", "b")["attention_mask"]


def test_an_instrumental_has_no_lyric_ids():
    assert all(song.lyric_ids == () for song in TOKENIZER("a", "rock").songs[0])


def test_a_genre_too_long_for_the_upsamplers_is_refused_although_v3_reads_it():
    with pytest.raises(LabelError, match="at most 5"):
        TOKENIZER.resolve("a", "one two three four five six")


def test_a_saved_tokenizer_reads_back_equal(tmp_path):
    files = TOKENIZER.save_vocabulary(tmp_path)
    assert sorted(file.relative_to(tmp_path).as_posix() for file in files) == [
        "labels/v2_artist_ids.txt",
        "labels/v2_genre_ids.txt",
        "labels/v3_artist_ids.txt",
        "labels/v3_genre_ids.txt",
    ]
    again = JukeboxTokenizer.from_pretrained(tmp_path)
    assert (again.config, again.vocabularies) == (TOKENIZER.config, TOKENIZER.vocabularies)


def test_saving_leaves_an_existing_configuration_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    TOKENIZER.save_vocabulary(tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"format": "jukebox"}'])
def test_a_directory_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        JukeboxTokenizer.from_pretrained(tmp_path)


def test_a_directory_without_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*config\.json"):
        JukeboxTokenizer.from_pretrained(tmp_path)


def test_missing_lists_are_found_when_the_tokenizer_is_made():
    with pytest.raises(LabelError, match="top prior needs the v3 label lists"):
        JukeboxTokenizer(_vocabularies("v2"), golden_config("prior_1b_lyrics"))


def test_a_model_of_one_version_needs_only_its_lists():
    tokenizer = JukeboxTokenizer(_vocabularies("v2"), golden_config("prior_5b_lyrics"))
    assert tokenizer("Alan Jackson", "rock").songs[0][0].artist_id == 145


def test_ids_without_an_embedding_are_found_when_the_tokenizer_is_made():
    config = golden_config("prior_5b")
    vocabularies = {"v2": replace(_vocabularies("v2")["v2"], genres={"rock": 120})}
    with pytest.raises(LabelError, match=r"genre id 120, .* only knows ids below 120"):
        JukeboxTokenizer(vocabularies, config)


def test_a_prior_without_labels_hears_nothing():
    config = golden_config("prior_5b")
    unlabelled = replace(
        config, priors=(replace(config.priors[0], labels=None), *config.priors[1:])
    )
    tokenizer = JukeboxTokenizer(_vocabularies("v2"), unlabelled)
    assert tokenizer.resolve("Alan Jackson", "rock")["top"]["version"] is None
    labels = tokenizer("Alan Jackson", "rock", "la")
    assert labels.songs[0][0].artist_id == 0
    assert labels["input_ids"][0].tolist() == [[0, 0, 0, 0]]
