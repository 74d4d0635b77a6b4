from itertools import pairwise

import pytest
import torch

from recipes.mini.evaluation.codec import code_use, new_listener
from recipes.mini.evaluation.features import CodeFrontEnd
from recipes.mini.evaluation.ground_truth import composed_song, lesson_of, lyric_vowels
from recipes.mini.evaluation.listening.classifiers import grid_of_pairs
from recipes.mini.evaluation.listening.listener import (
    NO_VOWEL,
    UNJUDGED,
    Lesson,
    LessonSettings,
    frame_vowels,
    teach,
)
from recipes.mini.evaluation.listening.sung_vowels import (
    compare_with_lyrics,
    heard_vowels,
    vowels_at_times,
)
from recipes.mini.synth import ARTISTS, GENRES

pytestmark = pytest.mark.nightly("recipe")

SETTINGS = LessonSettings(width=32, epochs=12, batch_size=8, crop_frames=64, dropout=0.0)


def coded_songs(number, seed):
    """Codes that say plainly what they are: 0-5 in a frame the vowel, 6 and 7 genre and artist."""
    generator = torch.Generator().manual_seed(seed)
    vowels = torch.randint(6, (number, 16), generator=generator).repeat_interleave(4, dim=1)
    genres = torch.randint(8, (number,), generator=generator)
    artists = torch.randint(8, (number,), generator=generator)
    codes = vowels.clone()
    codes[:, 1::4] = 8 + genres[:, None]
    codes[:, 3::4] = 16 + artists[:, None]
    return Lesson(features=codes, vowels=vowels, genres=genres, artists=artists)


def test_a_listener_learns_what_the_codes_say_and_nothing_that_they_do_not():
    lesson, unheard = coded_songs(160, 0), coded_songs(40, 1)
    listener = new_listener(CodeFrontEnd(torch.eye(24)), 24, SETTINGS)
    teach(listener, lesson, SETTINGS)
    heard = listener.hear(unheard.features)
    assert (heard.vowels.argmax(-1) == unheard.vowels).float().mean() > 0.9
    assert (heard.genres.argmax(-1) == unheard.genres).float().mean() > 0.8
    assert (heard.artists.argmax(-1) == unheard.artists).float().mean() > 0.8


def test_the_same_lesson_makes_the_same_listener():
    def taught():
        listener = new_listener(CodeFrontEnd(torch.eye(24)), 24, SETTINGS)
        teach(listener, coded_songs(16, 0), LessonSettings(width=32, epochs=1, crop_frames=64))
        return listener.hear(coded_songs(4, 1).features).genres

    assert torch.equal(taught(), taught())


def test_the_edges_of_a_vowel_are_not_judged():
    classes = frame_vowels([(0.1, 0.3, 2)], 10, 25.0)
    # Frames are 0.04 s long, and the edges reach 0.02 s to either side.
    assert classes[0] == NO_VOWEL
    assert classes[4] == 3
    assert UNJUDGED in (classes[2], classes[1])
    assert classes[9] == NO_VOWEL


def test_code_use_of_even_codes_is_all_of_them():
    figures = code_use(torch.arange(64).repeat(2, 10), 64)
    assert figures["perplexity"] == pytest.approx(64, abs=0.1)
    assert figures["codes_used"] == 64
    assert code_use(torch.zeros(2, 10, dtype=torch.int64), 64)["perplexity"] == 1.0


def test_the_grid_asks_for_every_pair_equally_often():
    pairs = grid_of_pairs(128, torch.Generator().manual_seed(0))
    assert len(set(pairs)) == len(GENRES) * len(ARTISTS)
    assert all(pairs.count(pair) == 2 for pair in set(pairs))


def frames_of(classes):
    """Log-probabilities of someone who is sure."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 6).float().add(1e-6).log()


def test_runs_of_frames_become_vowels_and_flickers_do_not():
    classes = [0] * 4 + [1] * 10 + [0] * 4 + [1] * 10 + [3] * 2 + [2] * 10
    assert heard_vowels(frames_of(classes), 62.5) == [0, 0, 1]


def test_songs_that_sing_their_words_are_nearer_to_them_than_to_shuffled_ones():
    lyrics = ["banana tulip", "pine coconut home", "umbrella again", "lemon river", "kiwi solo"] * 4
    heard = [list(lyric_vowels(text)) for text in lyrics]
    figures = compare_with_lyrics(heard, lyrics, seed=0)
    assert figures["own"]["mean"] == 1.0
    assert figures["own_against_reordered"]["p_value"] < 0.01
    assert figures["own_against_others"]["p_value"] < 0.01


def test_songs_that_babble_are_not():
    generator = torch.Generator().manual_seed(0)
    lyrics = ["banana tulip", "pine coconut home", "umbrella again", "lemon river", "kiwi solo"] * 8
    heard = [torch.randint(5, (5,), generator=generator).tolist() for _ in lyrics]
    assert compare_with_lyrics(heard, lyrics, seed=0)["own_against_reordered"]["p_value"] > 0.01


def test_vowels_are_counted_where_they_are_said_to_be():
    frames = frames_of([1] * 10 + [2] * 10 + [3] * 10)[None]
    right = [[(0.05, 0), (0.15, 1), (0.25, 2), (9.0, 2)]]
    figures = vowels_at_times(frames, right, 100.0, seed=0)
    assert figures["share"] == 1.0
    assert figures["number"] == 3
    assert figures["reordered"]["mean"] < 0.8


def test_a_composed_song_knows_its_vowels_in_time_and_in_its_words():
    song = composed_song(5, duration_sec=4.0, sample_rate_hz=16_000, lyrics="la mi to ku pe")
    spans = song.vowel_spans()
    assert [span.vowel for span in spans] == list(lyric_vowels("la mi to ku pe"))[: len(spans)]
    assert all(a.end_sec <= b.start_sec for a, b in pairwise(spans))
    lesson = lesson_of([song], torch.zeros(1, 250, 1), 62.5)
    for span in spans:
        assert lesson.vowels[0, int(span.middle_sec * 62.5)] == span.vowel + 1


def test_the_words_of_a_song_do_not_depend_on_its_sample_rate():
    low, high = (
        composed_song(7, duration_sec=5.0, sample_rate_hz=rate_hz) for rate_hz in (8_000, 16_000)
    )
    assert low.lyrics == high.lyrics
