"""Windows of songs as priors read them."""

import numpy as np
import pytest
import torch

from jukebox_core.errors import TrainingError
from jukebox_core.labels import UNKNOWN_ID, window_labels
from jukebox_core.training.priors.guide import NOT_SUNG
from jukebox_core.training.priors.windows import Place, PriorWindows
from tests.training.prior_runs import KINDS, prior_config, random_songs


def windows_of(kind, *, num_songs=3, num_tokens=256):
    config = prior_config(kind)
    return PriorWindows(config, random_songs(config, num_songs, num_tokens=num_tokens))


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_holds_its_codes_those_above_and_its_own_labels(kind):
    windows = windows_of(kind)
    song = windows.songs[1]
    batch = windows.batch([Place(1, 64)])
    np.testing.assert_array_equal(batch["codes"][0], song.codes[64:128])
    assert batch["counted"].all()
    labels = window_labels(
        windows.config, song.labels, total_samples=song.total_samples, offset_samples=0,
        start_token=64,
    )  # fmt: skip
    assert tuple(batch["labels"][0].tolist()) == labels
    if windows.config.conditioner is not None:
        ratio = windows.config.conditioner.upsampling
        np.testing.assert_array_equal(
            batch["upper_codes"][0], song.upper[64 // ratio : 128 // ratio]
        )


def test_random_windows_lie_in_their_song_on_whole_codes_above_and_reach_its_end():
    windows = windows_of("bottom")
    random = np.random.default_rng(0)
    places = [windows.random_place(random, 0.0) for _ in range(2000)]
    starts = {place.start for place in places}
    assert {place.song for place in places} == {0, 1, 2}
    assert all(start % 4 == 0 for start in starts)
    assert (min(starts), max(starts)) == (0, 256 - 64)


def test_the_beginning_of_a_song_comes_as_often_as_asked():
    windows = windows_of("separate lyrics")
    random = np.random.default_rng(0)
    places = [windows.random_place(random, 0.5) for _ in range(1000)]
    assert 450 < sum(place.start == 0 for place in places) < 560


@pytest.mark.parametrize("kind", ["separate lyrics", "bottom"])
def test_a_share_of_the_windows_ends_with_the_song(kind):
    config = prior_config(kind)
    windows = PriorWindows(config, random_songs(config, 1, num_tokens=1024))
    random = np.random.default_rng(0)
    places = [windows.random_place(random, 0.3, 0.4) for _ in range(1000)]
    shares = [np.mean([place.start == start for place in places]) for start in (0, 1024 - 64)]
    np.testing.assert_allclose(shares, (0.3, 0.4), atol=0.05)


def test_a_song_shorter_than_a_window_is_filled_up_and_the_filling_does_not_count():
    windows = windows_of("middle", num_tokens=40)
    batch = windows.batch([windows.random_place(np.random.default_rng(0), 0.0)])
    assert batch["codes"].shape == (1, 64)
    assert batch["counted"].sum() == 40
    assert batch["upper_codes"].shape == (1, windows.config.upper_context_tokens)


def test_names_are_forgotten_and_codes_above_replaced_in_their_share():
    windows = windows_of("middle")
    random = np.random.default_rng(0)
    labels = windows.songs[0].labels
    told = [windows.with_unknown(labels, random, 0.3) for _ in range(1000)]
    assert 250 < sum(each.artist_id == UNKNOWN_ID for each in told) < 350
    assert 250 < sum(each.genre_ids == (UNKNOWN_ID,) for each in told) < 350
    upper = np.zeros(10_000, dtype=np.int64)
    assert 0.08 < np.mean(windows.with_noise(upper, random, 0.1) != 0) < 0.12
    assert not windows.with_noise(upper, random, 0.0).any()


def test_a_sung_character_is_found_in_the_lyrics_of_its_window():
    windows = windows_of("separate lyrics")
    batch = windows.batch([Place(0, 0), Place(2, 100)])
    lyric_ids = batch["labels"][:, -windows.config.lyrics.num_tokens :]
    for row, place in enumerate((Place(0, 0), Place(2, 100))):
        song = windows.songs[place.song]
        for token in range(64):
            column = batch["columns"][row, token]
            assert column != NOT_SUNG
            sung = song.labels.lyric_ids[song.characters[place.start + token]]
            assert lyric_ids[row, column] == sung


def test_other_labels_and_codes_above_can_stand_in_for_those_of_the_song():
    windows = windows_of("bottom")
    other = windows.songs[2].labels
    upper = [np.full(windows.config.upper_context_tokens, 7)]
    batch = windows.batch([Place(0, 0)], labels=[other], upper=upper)
    assert batch["labels"][0, 3] == other.artist_id
    assert torch.equal(batch["upper_codes"][0], torch.full_like(batch["upper_codes"][0], 7))


def test_no_song_at_all_is_an_error():
    with pytest.raises(TrainingError, match="no song is left"):
        PriorWindows(prior_config("middle"), [])
