import pytest
import torch

from recipes.mini.evaluation.audio_metrics import sound_distance, soundness
from recipes.mini.evaluation.features import hop_samples, log_mel, mel_filters

pytestmark = pytest.mark.nightly("recipe")

RATE_HZ = 16_000


def tone(frequency_hz, num_samples=16_000):
    time_sec = torch.arange(num_samples) / RATE_HZ
    return 0.3 * torch.sin(2 * torch.pi * frequency_hz * time_sec)


def test_a_sound_is_at_no_distance_from_itself():
    distance = sound_distance(tone(440), tone(440))
    assert distance.snr_db > 90
    assert distance.spectral_convergence == 0.0
    assert distance.log_spectral_distance_db == 0.0


def test_noise_of_a_tenth_is_20_db_below():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(16_000, generator=generator)
    noise *= 0.1 * tone(440).norm() / noise.norm()
    assert abs(sound_distance(tone(440), tone(440) + noise).snr_db - 20.0) < 0.01


def test_half_the_loudness_is_half_of_the_spectrum_and_6_db():
    distance = sound_distance(tone(440), tone(440) / 2)
    assert abs(distance.spectral_convergence - 0.5) < 1e-3
    # Only what lies above the floor counts.
    assert 0.1 < distance.log_spectral_distance_db < 6.03


def test_clipping_and_silence_are_counted():
    audio = torch.zeros(1, 2048)
    audio[:, :1024] = 1.0
    figures = soundness(audio)
    assert figures["clipped_share"] == 0.5
    assert figures["silent_share"] == 0.5
    assert abs(figures["rms_db"] + 3.01) < 0.01


def test_log_mel_does_not_hear_how_loud_a_song_is():
    frames = log_mel(torch.stack([tone(440), tone(440) * 0.01]), RATE_HZ)
    assert frames.shape == (2, 16_000 // hop_samples(RATE_HZ), 64)
    assert torch.allclose(frames[0], frames[1], atol=1e-3)


def test_a_higher_tone_peaks_in_a_higher_band():
    frames = log_mel(torch.stack([tone(hz) for hz in (200, 800, 3200)]), RATE_HZ)
    peaks = frames.mean(dim=1).argmax(dim=1).tolist()
    assert peaks[0] < peaks[1] < peaks[2]


def test_every_mel_band_hears_something():
    assert (mel_filters(RATE_HZ, 1024).sum(dim=0) > 0).all()
