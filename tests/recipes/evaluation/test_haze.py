"""Plain measures of what is heard as haze, noise and gaps."""

import pytest
import torch

from recipes.mini.evaluation.haze import (
    dropouts_per_10_sec,
    mel_distance_db,
    noise_to_mask_db,
    valley_db,
)

pytestmark = pytest.mark.nightly("recipe")

RATE_HZ = 16_000


def chord(seconds=3.0):
    """Harmonics of 200 Hz up to 7 kHz: partials with nothing between them."""
    time_sec = torch.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return sum(torch.sin(2 * torch.pi * 200 * n * time_sec) for n in range(1, 36))[None] * 0.02


def noise_like(sound, level):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(sound.shape, generator=generator)
    return noise * (level * sound.square().mean().sqrt())


def test_noise_fills_the_valleys_between_partials():
    clean = chord()
    hazy, hazier = (clean + noise_like(clean, level) for level in (0.03, 0.3))
    depths = [valley_db(sound, RATE_HZ) for sound in (clean, hazy, hazier)]
    assert depths == sorted(depths)
    assert depths[0] < -40
    assert depths[2] > depths[1] + 10
    assert valley_db(clean / 10, RATE_HZ) == pytest.approx(depths[0], abs=2)


def test_a_low_pass_wins_no_distance():
    true = chord()
    muffled = torch.fft.irfft(torch.fft.rfft(true) * (torch.arange(true.shape[1] // 2 + 1) < 6000))
    assert mel_distance_db(true, true, RATE_HZ) == 0
    assert mel_distance_db(true, muffled, RATE_HZ) > 5
    assert noise_to_mask_db(true, muffled, RATE_HZ) > noise_to_mask_db(true, true, RATE_HZ) + 5


def test_noise_below_the_mask_counts_less_than_noise_above_it():
    true = chord()
    figures = [
        noise_to_mask_db(true, true + noise_like(true, x), RATE_HZ) for x in (0.0, 0.05, 0.5)
    ]
    assert figures == sorted(figures)
    assert figures[0] == -20
    assert figures[2] > figures[1] + 10


def test_a_gap_is_counted_once_however_long_and_not_at_the_ends():
    sound = chord(10.0)
    assert dropouts_per_10_sec(sound, RATE_HZ) == 0
    sound[:, 32_000:34_000] = 0
    sound[:, 64_000:80_000] = 0
    sound[:, 100_000:100_200] = 0  # 12 ms: too short
    sound[:, :4_000] = 0
    assert dropouts_per_10_sec(sound, RATE_HZ) == pytest.approx(2 * 10 / 9, abs=0.01)
