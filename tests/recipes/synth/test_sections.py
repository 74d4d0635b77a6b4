"""Songs with an intro, verses and choruses."""

import json

import numpy as np
import pytest

from jukebox_core.errors import SongError
from jukebox_core.training.dataset.syllables import syllables
from recipes.mini.synth import compose, write_songs
from recipes.mini.synth.drums import drum
from recipes.mini.synth.genres import GENRE_STYLES, GENRES
from recipes.mini.synth.oscillator import Clock
from recipes.mini.synth.sections import write_song_with_sections

REGISTER = 60


def tune_of(seed, genre, duration_sec=30.0):
    rng = np.random.default_rng(seed)
    return write_song_with_sections(rng, genre, REGISTER, duration_sec=duration_sec)


def sung_in(tune, section):
    """Notes of a section as seconds from its beginning, and pitches."""
    begin_sec = section.first_step * tune.step_sec - 1e-6
    end_sec = begin_sec + section.num_steps * tune.step_sec
    slots = [slot for slot in tune.slots if begin_sec <= slot.start_sec < end_sec]
    return [(round(slot.start_sec - begin_sec, 4), slot.midi) for slot in slots]


@pytest.mark.parametrize("genre", GENRE_STYLES, ids=GENRES)
def test_sections_follow_each_other_and_the_chorus_comes_back_with_the_same_notes(genre):
    tune = tune_of(1, genre, 60.0)
    assert [section.kind for section in tune.sections[:1]] == ["intro"]
    assert {section.kind for section in tune.sections[1:]} == {"verse", "chorus"}
    for before, after in zip(tune.sections, tune.sections[1:], strict=False):
        assert before.first_step + before.num_steps == after.first_step
    assert tune.sections[-1].first_step < tune.num_steps
    *whole, _ = [sung_in(tune, part) for part in tune.sections if part.kind == "chorus"]
    assert len(whole) >= 2
    assert whole[0]
    assert all(notes == whole[0] for notes in whole)


@pytest.mark.parametrize("genre", GENRE_STYLES, ids=GENRES)
def test_the_voice_waits_for_the_intro_and_a_second_one_sings_in_the_chorus_alone(genre):
    tune = tune_of(2, genre)
    intro_sec = tune.sections[0].num_steps * tune.step_sec
    assert tune.slots[0].start_sec >= intro_sec
    assert all(note.end_sec <= intro_sec for note in tune.intro)
    scale = {(tune.key_midi + tone) % 12 for tone in genre.scale}
    for slot in tune.slots[:-1]:
        section = tune.section_at(round(slot.start_sec / tune.step_sec))
        assert (slot.second_midi is not None) == (section.kind == "chorus")
        if slot.second_midi is not None:
            assert slot.second_midi < slot.midi
            assert slot.second_midi % 12 in scale


def test_a_refrain_has_the_same_words_each_time():
    song = compose(5, genre="pixelpop", sections=True, duration_sec=50.0)
    lines = song.lyrics.split("\n")
    repeated = [line for line in set(lines) if lines.count(line) > 1]
    assert len(repeated) == 2
    sung = [note for note in song.notes if note.vowel]
    assert [note.vowel for note in sung] == [part.vowel for part in syllables(song.lyrics)]
    assert song.notes[0].vowel is None
    assert [note.start_sec for note in song.notes] == sorted(n.start_sec for n in song.notes)


def test_a_chorus_is_louder_than_the_intro_and_a_fill_leads_to_it():
    song = compose(4, genre="steelmarch", sections=True, duration_sec=20.0, lyrics="")
    rate = song.sample_rate_hz
    tune = tune_of(5, GENRE_STYLES[0])
    clock = Clock(rate, round(tune.duration_sec * rate), 80)
    drums = drum(tune, GENRE_STYLES[0], clock)
    verse = tune.sections[1]
    bar = GENRE_STYLES[0].steps_per_bar

    def loudness(first_step, num_steps):
        first = round(first_step * tune.step_sec * rate)
        return np.sqrt(np.mean(drums[first : first + round(num_steps * tune.step_sec * rate)] ** 2))

    end = verse.first_step + verse.num_steps
    assert loudness(end - bar // 2, bar // 2) > 1.1 * loudness(end - bar - bar // 2, bar // 2)
    second = round(song.sample_rate_hz)
    first_chord_to_the_middle = song.audio[:second], song.audio[10 * second : 11 * second]
    quiet, loud = (np.sqrt(np.mean(part**2)) for part in first_chord_to_the_middle)
    assert quiet < loud


def test_a_song_with_sections_is_as_long_as_asked_and_the_same_each_time():
    first, again = (compose(6, sections=True, duration_sec=12.0) for _ in range(2))
    assert first.audio.tobytes() == again.audio.tobytes()
    assert first.audio.shape == (12 * 16_000,)
    assert 0.05 < np.sqrt(np.mean(first.audio**2)) <= 0.1001


def test_a_folder_of_songs_with_sections_lists_what_is_sung(tmp_path):
    manifest = write_songs(tmp_path, 4, 1, duration_sec=(6.0, 7.0), sections_share=0.5)
    rows = json.loads(manifest.read_text())
    begun_by_the_lead = [row["notes"][0][3] is None for row in rows if row["lyrics"]]
    assert set(begun_by_the_lead) == {True, False}
    assert all(row["notes"][-1][1] <= 7.0 for row in rows)
    with pytest.raises(SongError, match="sections_share"):
        write_songs(tmp_path, 1, 1, sections_share=1.5)
