from dataclasses import replace

import numpy as np
import pytest

from jukebox_core.errors import LabelError
from jukebox_core.labels import SongLabels, relevant_lyrics, window_labels
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.labels.golden import (
    TOP_PRIORS,
    golden_case,
    golden_config,
    golden_label_vectors,
    golden_tokenizer,
)


def _golden_songs(top: str):
    metas = golden_case()["metas"]
    return golden_tokenizer(top)(
        [meta["artist"] for meta in metas],
        [meta["genre"] for meta in metas],
        [meta["lyrics"] for meta in metas],
    )


def _vector(prior, song, **timing):
    return window_labels(prior, song, **{"offset_samples": 0, "start_token": 0, **timing})


@pytest.mark.parametrize("key", sorted(golden_label_vectors()))
def test_label_vectors_equal_those_of_the_original(key):
    part, start = key.split(".y_")
    level = Level(golden_case()["priors"][part]["level"])
    for top in [part] if part in TOP_PRIORS else TOP_PRIORS:
        vectors = [
            _vector(
                golden_config(top).prior(level),
                song,
                total_samples=meta["total_length"],
                offset_samples=meta["offset"],
                start_token=int(start),
            )
            for song, meta in zip(
                _golden_songs(top).for_level(level), golden_case()["metas"], strict=True
            )
        ]
        np.testing.assert_array_equal(np.array(vectors), golden_label_vectors()[key])


PRIOR = golden_config("prior_5b_lyrics").prior(Level.TOP)  # 64 tokens, 16 characters, v2
LONG = SongLabels(artist_id=7, genre_ids=(3, 4), lyric_ids=tuple(range(1, 80)))


def test_the_offset_of_the_song_and_the_start_of_the_window_add_up():
    vector = _vector(PRIOR, LONG, total_samples=1_000_000, offset_samples=5000, start_token=40)
    assert vector[:3] == (1_000_000, 5000 + 40 * 128, 64 * 128)


def test_free_genre_slots_hold_minus_one():
    assert _vector(PRIOR, LONG, total_samples=1_000_000)[3:9] == (7, 3, 4, -1, -1, -1)


def test_an_instrumental_has_a_vector_of_the_same_length():
    instrumental = replace(LONG, lyric_ids=())
    vector = _vector(PRIOR, instrumental, total_samples=1_000_000)
    assert vector[9:] == (0,) * 16
    assert len(vector) == len(_vector(PRIOR, LONG, total_samples=1_000_000))


def test_the_characters_of_a_window_come_with_their_places_in_the_lyrics():
    timing = {"total_samples": 64_000, "offset_samples": 1000, "start_token": 200}
    lyrics = relevant_lyrics(PRIOR, LONG, **timing)
    assert window_labels(PRIOR, LONG, **timing)[-16:] == lyrics.ids
    assert lyrics.ids == tuple(LONG.lyric_ids[index] for index in lyrics.indices)


def test_a_prior_that_reads_no_lyrics_ignores_them():
    middle = golden_config("prior_5b_lyrics").prior(Level.MIDDLE)
    assert relevant_lyrics(middle, LONG, total_samples=10_000, offset_samples=0, start_token=0) == (
        (),
        (),
    )
    assert len(_vector(middle, LONG, total_samples=10_000)) == 9


def test_a_prior_without_labels_gets_an_empty_vector():
    unlabelled = replace(PRIOR, labels=None)
    assert _vector(unlabelled, LONG, total_samples=1_000_000) == ()


def test_a_window_outside_the_song_is_refused():
    with pytest.raises(LabelError, match="outside a song of 8192"):
        _vector(PRIOR, LONG, total_samples=8192, start_token=64)


def test_more_genres_than_the_prior_reads_are_refused():
    crowded = replace(LONG, genre_ids=(1, 2, 3, 4, 5, 6))
    with pytest.raises(LabelError, match="6 genre ids do not fit the 5"):
        _vector(PRIOR, crowded, total_samples=1_000_000)


def test_each_level_reads_a_song_in_its_own_version():
    labels = _golden_songs("prior_1b_lyrics")
    assert len(labels) == 2
    assert [labels.for_level(level)[0].artist_id for level in COARSE_TO_FINE] == [5220, 557, 557]
    assert [len(song.lyric_ids) > 0 for song in labels.songs[0]] == [True, False, False]
