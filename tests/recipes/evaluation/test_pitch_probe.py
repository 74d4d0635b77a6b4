"""A fresh network that finds the sung pitch in codes, if they hold it."""

import numpy as np
import pytest
import torch

from recipes.mini.evaluation.ground_truth import composed_song
from recipes.mini.evaluation.pitch_probe import pitches_found, sung_pitches, teach_pitch

pytestmark = pytest.mark.nightly("recipe")

FRAMES_PER_SECOND, NUM_FRAMES = 62.5, 500


@pytest.fixture(scope="module")
def songs():
    return [composed_song(seed, duration_sec=9.0, sample_rate_hz=16_000) for seed in range(12)]


def test_the_notes_of_a_composed_song_are_those_that_are_sung(songs):
    song = next(song for song in songs if song.lyrics)
    notes = sung_pitches(song, NUM_FRAMES, FRAMES_PER_SECOND)
    inside = [span for span in song.vowel_spans() if span.middle_sec < 8.0]
    assert abs(len(notes) - len(inside)) <= 1
    assert {note.pitch for note in notes} <= set(range(1, 62))


def test_notes_of_a_lead_do_not_count():
    song = composed_song(5, duration_sec=9.0, sample_rate_hz=16_000, lyrics="")
    assert len(song.melody.midi) > 5
    assert sung_pitches(song, NUM_FRAMES, FRAMES_PER_SECOND) == []


@pytest.mark.parametrize(("hold_pitch", "least", "most"), [(True, 0.6, 1.0), (False, 0.0, 0.4)])
def test_a_probe_finds_the_pitch_where_the_codes_hold_it(songs, hold_pitch, least, most):
    random = np.random.default_rng(0)
    codes = torch.from_numpy(random.integers(64, 128, (len(songs), NUM_FRAMES)))
    if hold_pitch:
        for row, song in zip(codes, songs, strict=True):
            for note in sung_pitches(song, NUM_FRAMES, FRAMES_PER_SECOND):
                row[note.frame - 1 : note.frame + 2] = note.pitch
    vectors = torch.randn(128, 16, generator=torch.Generator().manual_seed(0))
    probe = teach_pitch(vectors, codes[:8], songs[:8], FRAMES_PER_SECOND, steps=80)
    found = pitches_found(probe, codes[8:], songs[8:], FRAMES_PER_SECOND)
    share = np.mean([hit for song in found for hit in song])
    assert least <= share <= most
