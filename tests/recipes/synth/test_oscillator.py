"""Tones without aliasing: what is asked for sounds, and nothing else does."""

import numpy as np
import pytest

from recipes.mini.synth.oscillator import (
    Clock,
    below_limit,
    midi_to_hz,
    num_harmonics,
    oscillate,
)

pytestmark = pytest.mark.nightly("recipe")

CLOCK = Clock(16_000, 16_000, 80)


def test_concert_pitch():
    np.testing.assert_allclose(midi_to_hz(np.array([69.0, 57.0])), [440.0, 220.0])


@pytest.mark.parametrize("pitch_hz", [110.0, 440.0])
def test_harmonics_sound_as_loud_as_asked_and_nothing_between_them(pitch_hz):
    wanted = np.array([1.0, 0.0, 0.5, 0.25], np.float32)
    amplitudes = np.tile(wanted, (CLOCK.num_frames, 1))
    sound = oscillate(np.full(CLOCK.num_frames, pitch_hz), amplitudes, CLOCK)
    assert sound.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(sound)) / (len(sound) / 2)
    places = (np.arange(1, 5) * pitch_hz).astype(int)
    np.testing.assert_allclose(spectrum[places], wanted, atol=0.02)
    spectrum[places] = 0.0
    assert spectrum.max() < 0.005


def test_no_harmonic_may_sound_above_half_the_sample_rate():
    heights_hz = np.arange(1, 200, dtype=np.float32) * 100
    for sample_rate_hz in (8_000, 16_000, 44_100):
        allowed = heights_hz[below_limit(heights_hz, sample_rate_hz) > 0]
        assert allowed.max() < sample_rate_hz / 2
        assert num_harmonics(np.array([100.0]), sample_rate_hz) * 100 <= 7_000


def test_a_change_of_timbre_is_a_straight_line_and_no_click():
    amplitudes = np.zeros((CLOCK.num_frames, 2), np.float32)
    amplitudes[: CLOCK.num_frames // 2, 0] = 1.0
    amplitudes[CLOCK.num_frames // 2 :, 1] = 1.0
    sound = oscillate(np.full(CLOCK.num_frames, 200.0), amplitudes, CLOCK)
    steepest = 2 * np.pi * 2 * 200.0 / 16_000
    assert np.abs(np.diff(sound)).max() < 1.2 * steepest
