"""Songs from seeds: the same every time, pleasant in level, and true about what is sung when."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from jukebox_core.errors import SongError
from jukebox_core.training.dataset.syllables import VOWELS, syllables
from recipes.mini.synth import (
    ARTISTS,
    GENRES,
    HELD_OUT_PAIRS,
    TRAINING_PAIRS,
    compose,
)
from recipes.mini.synth.genres import GENRE_STYLES

pytestmark = pytest.mark.nightly("recipe")

FINGERPRINTS = Path(__file__).with_name("fingerprints.json")


def fingerprint(song):
    """Loudness and samples here and there; sums differ in the last bit between processors."""
    blocks = [float(np.sqrt(np.mean(part**2))) for part in np.array_split(song.audio, 24)]
    return {
        "lyrics": song.lyrics,
        "num_samples": len(song.audio),
        "midi": [note.midi for note in song.notes],
        "loudness": [round(value, 5) for value in blocks],
        "samples": [round(float(value), 5) for value in song.audio[1000::3001]],
    }


def fingerprinted(number):
    artist = ARTISTS[(5 * number + 2) % 8]
    return compose(900 + number, genre=GENRES[number], artist=artist, duration_sec=8.0)


def loudness_of_bands(song, time_sec, edges_hz):
    """Share of the power in each band within 64 ms round a moment."""
    middle = round(time_sec * song.sample_rate_hz)
    frame = song.audio[middle - 512 : middle + 512] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frame)) ** 2
    frequencies_hz = np.fft.rfftfreq(1024, 1 / song.sample_rate_hz)
    bands = [
        power[(frequencies_hz >= low) & (frequencies_hz < high)].sum()
        for low, high in itertools.pairwise(edges_hz)
    ]
    return np.array(bands) / power.sum()


@pytest.mark.parametrize("number", range(8), ids=GENRES)
def test_songs_sound_as_they_did_when_models_were_trained_on_them(number):
    kept = json.loads(FINGERPRINTS.read_text())[GENRES[number]]
    found = fingerprint(fingerprinted(number))
    for field in ("lyrics", "num_samples", "midi"):
        assert found[field] == kept[field]
    np.testing.assert_allclose(found["loudness"], kept["loudness"], atol=1e-4)
    np.testing.assert_allclose(found["samples"], kept["samples"], atol=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_song():
    first, again, other = compose(3), compose(3), compose(4)
    assert first.audio.tobytes() == again.audio.tobytes()
    assert first.lyrics == again.lyrics
    assert first.lyrics != other.lyrics


@pytest.mark.parametrize("artist", ARTISTS)
def test_a_song_is_mono_of_even_loudness_and_begins_and_ends_in_silence(artist):
    song = compose(11, artist=artist, duration_sec=9.0)
    assert song.audio.dtype == np.float32
    assert song.audio.shape == (9 * 16_000,)
    assert np.isfinite(song.audio).all()
    assert 0.08 < np.sqrt(np.mean(song.audio**2)) <= 0.1001
    assert np.abs(song.audio).max() <= 0.95
    assert abs(song.audio[0]) < 0.02
    assert np.abs(song.audio[-8:]).max() < 1e-3


def test_characters_are_sung_in_order_within_the_song_and_vowels_on_the_notes():
    song = compose(21, duration_sec=12.0)
    starts, ends = song.character_start_sec, song.character_end_sec
    sung = np.isfinite(starts)
    assert (np.isfinite(ends) == sung).all()
    assert (np.diff(starts[sung]) > 0).all()
    assert (starts[sung] < ends[sung]).all()
    assert (starts[sung][1:] >= ends[sung][:-1] - 1e-9).all()
    assert starts[sung][0] > 0
    assert ends[sung][-1] <= song.duration_sec
    for syllable, note in zip(syllables(song.lyrics), song.notes, strict=True):
        assert note.vowel == syllable.vowel
        assert starts[syllable.nucleus[0]] == pytest.approx(note.start_sec)
        assert ends[syllable.nucleus[-1]] == pytest.approx(note.end_sec)


@pytest.mark.parametrize("genre", GENRE_STYLES, ids=lambda genre: genre.name)
def test_bars_are_as_long_as_the_genre_has_them_and_cover_the_song(genre):
    song = compose(21, genre=genre.name, duration_sec=12.0)
    lengths = np.diff(song.bar_start_sec)
    assert song.bar_start_sec[0] == 0
    assert lengths == pytest.approx(lengths[0])
    slowest, fastest = (60 * genre.beats_per_bar / bpm for bpm in genre.tempo_bpm)
    assert fastest <= lengths[0] <= slowest
    assert song.bar_start_sec[-1] > 12.0 - 2 * slowest


def test_made_up_lyrics_fill_the_whole_song():
    for seed in range(12):
        song = compose(seed, duration_sec=12.0)
        if not song.lyrics:
            continue
        assert song.notes[0].start_sec <= 1.0
        assert song.notes[-1].end_sec > 9.5
        assert 1.2 < len(song.notes) / 12.0 < 3.5
        assert "\n" in song.lyrics


def test_lyrics_given_are_sung_and_decide_how_long_the_song_is():
    short = compose(5, lyrics="one, two, three")
    long = compose(5, lyrics="one, two, three, four, five, six, seven, eight, nine, ten " * 3)
    assert short.lyrics == "one, two, three"
    assert [note.vowel for note in short.notes if note.vowel] == ["o", "o", "i"]
    assert short.duration_sec < 4.0 < 12.0 < long.duration_sec
    assert np.isfinite(long.character_start_sec).sum() > 100


def test_what_does_not_fit_stays_unsung_and_what_is_left_the_lead_plays():
    crowded = compose(6, lyrics="la " * 200, duration_sec=8.0)
    assert np.isnan(crowded.character_start_sec[-3:]).all()
    sparse = compose(6, lyrics="la la", duration_sec=8.0)
    assert [note.vowel for note in sparse.notes[:3]] == ["a", "a", None]


def test_without_lyrics_nobody_sings_but_there_is_music():
    song = compose(7, lyrics="", duration_sec=8.0)
    assert len(song.character_start_sec) == 0
    assert {note.vowel for note in song.notes} == {None}
    assert np.sqrt(np.mean(song.audio**2)) > 0.08


def test_new_words_leave_the_tune_as_it_was():
    first = compose(8, lyrics="la la la la la la la la la la", duration_sec=8.0)
    other = compose(8, lyrics="mu mu mu mu mu mu mu mu mu mu", duration_sec=8.0)
    assert [note.midi for note in first.notes] == [note.midi for note in other.notes]


@pytest.mark.parametrize("artist", ARTISTS)
def test_vowels_are_plain_to_see_in_every_voice(artist):
    song = compose(9, artist=artist, genre="pixelpop", lyrics="ma me mi mo mu", duration_sec=8.0)
    edges_hz = [0, 450, 1000, 1750, 4500]
    shares = {
        note.vowel: loudness_of_bands(song, (note.start_sec + note.end_sec) / 2, edges_hz)
        for note in song.notes
        if note.vowel
    }
    lowest, low, middle, high = np.array([shares[vowel] for vowel in VOWELS]).T
    a, e, i, o, u = range(5)
    assert min(high[e], high[i]) > max(high[o], high[u])
    assert middle[a] > max(middle[i], middle[u])
    assert low[o] > max(low[i], 0.2)
    assert lowest[u] > max(lowest[a], lowest[o])


def test_nothing_sounds_above_the_highest_harmonic():
    song = compose(10, genre="mossballad", lyrics="la lo lu", sample_rate_hz=44_100)
    power = np.abs(np.fft.rfft(song.audio)) ** 2
    frequencies_hz = np.fft.rfftfreq(len(song.audio), 1 / 44_100)
    assert power[frequencies_hz > 8_000].sum() < 1e-4 * power.sum()


def test_held_out_pairs_have_each_genre_and_artist_once_and_are_never_drawn():
    assert sorted(genre for genre, _ in HELD_OUT_PAIRS) == sorted(GENRES)
    assert sorted(artist for _, artist in HELD_OUT_PAIRS) == sorted(ARTISTS)
    assert len(TRAINING_PAIRS) == 56
    drawn = [compose(seed, duration_sec=3.0, genre=GENRES[seed % 8]) for seed in range(24)]
    assert not {(song.genre, song.artist) for song in drawn} & set(HELD_OUT_PAIRS)


def test_a_held_out_pair_can_be_asked_for():
    genre, artist = HELD_OUT_PAIRS[0]
    song = compose(0, genre=genre, artist=artist, duration_sec=3.0)
    assert (song.genre, song.artist) == HELD_OUT_PAIRS[0]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"genre": "polka"}, "genre"),
        ({"artist": "nobody"}, "artist"),
        ({"duration_sec": 1.0}, "duration_sec"),
        ({"duration_sec": float("nan")}, "duration_sec"),
        ({"sample_rate_hz": 4_000}, "sample_rate_hz"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(wish, field):
    with pytest.raises(SongError) as caught:
        compose(0, **wish)
    assert caught.value.field == field


def test_a_negative_seed_is_refused():
    with pytest.raises(SongError, match="seed is -1"):
        compose(-1)
