"""Each loss against its formula, written out in numpy."""

import numpy as np
import pytest
import torch

from jukebox_core.training.codec import losses
from jukebox_core.training.codec.auxiliary_head import (
    chroma_loss,
    class_accuracy,
    class_loss,
)
from jukebox_core.training.codec.measures import Reconstruction
from jukebox_core.training.dataset.sung_vowels import UNKNOWN_VOWEL

NO_BANDWIDTH = losses.Bandwidth(l1=1.0, l2=1.0, spectral=1.0)
BANDWIDTH = losses.Bandwidth(l1=0.5, l2=0.25, spectral=4.0)


@pytest.fixture
def pair():
    chance = np.random.default_rng(0)
    target, output = chance.normal(size=(2, 2, 4096)).astype(np.float32)
    return target, output


def spectrogram(audio, n_fft, hop, window_samples):
    """|FFT| of Hann-windowed frames centered on every hop-th sample; edges mirrored."""
    padded = np.pad(audio.astype(np.float64), n_fft // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_samples) / window_samples)
    left = (n_fft - window_samples) // 2
    window = np.pad(window, (left, n_fft - window_samples - left))
    starts = range(0, len(padded) - n_fft + 1, hop)
    return np.stack([np.abs(np.fft.rfft(padded[s : s + n_fft] * window)) for s in starts], axis=1)


def tensors(pair):
    return tuple(torch.from_numpy(part) for part in pair)


def test_l1_is_the_mean_absolute_error_over_the_bandwidth(pair):
    target, output = pair
    expected = np.abs(output - target).mean() / 0.5
    assert losses.l1_loss(*tensors(pair), BANDWIDTH).item() == pytest.approx(expected, rel=1e-5)


def test_l2_is_the_mean_squared_error_over_the_bandwidth(pair):
    target, output = pair
    expected = ((output - target) ** 2).mean() / 0.25
    assert losses.l2_loss(*tensors(pair), BANDWIDTH).item() == pytest.approx(expected, rel=1e-5)


def test_linf_is_the_mean_of_the_largest_squared_errors_of_each_song(pair):
    target, output = pair
    largest = np.sort((output - target) ** 2, axis=1)[:, -2048:]
    expected = largest.mean() / 0.25
    assert losses.linf_loss(*tensors(pair), BANDWIDTH).item() == pytest.approx(expected, rel=1e-5)


def test_magnitudes_are_those_of_a_windowed_fourier_transform(pair):
    (audio, _), resolution = tensors(pair), losses.ORIGINAL_RESOLUTIONS[1]
    found = losses.magnitudes(audio, resolution)
    expected = np.stack([spectrogram(row, 1024, 120, 600) for row in pair[0]])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_the_multispectral_loss_is_the_norm_of_the_difference_at_three_resolutions(pair):
    target, output = tensors(pair)
    found = losses.multispectral_loss(
        losses.spectrograms(target, losses.ORIGINAL_RESOLUTIONS),
        losses.spectrograms(output, losses.ORIGINAL_RESOLUTIONS),
        BANDWIDTH,
    )
    norms = [
        [
            np.linalg.norm(spectrogram(b, *sizes) - spectrogram(a, *sizes))
            for a, b in zip(*pair, strict=True)
        ]
        for sizes in ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
    ]
    expected = np.mean(norms) / 4.0
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_the_log_magnitude_loss_is_the_mean_distance_of_logarithms(pair):
    target, output = tensors(pair)
    resolutions = losses.ORIGINAL_RESOLUTIONS[2:]
    found = losses.log_magnitude_loss(
        losses.spectrograms(target, resolutions), losses.spectrograms(output, resolutions)
    )
    logs = [np.log([spectrogram(row, 512, 50, 240) + 0.01 for row in rows]) for rows in pair]
    assert found.item() == pytest.approx(np.abs(logs[1] - logs[0]).mean(), rel=1e-3)


def test_commitment_moves_the_vectors_and_not_the_codes():
    vectors = torch.tensor([[[1.0, 2.0]]], requires_grad=True)
    quantized = torch.tensor([[[0.0, 4.0]]], requires_grad=True)
    loss = losses.commit_loss(vectors, quantized)
    loss.backward()
    assert loss.item() == pytest.approx((1 + 4) / 2)
    assert vectors.grad is not None
    assert vectors.grad.tolist() == [[[1.0, -2.0]]]
    assert quantized.grad is None


def test_the_bandwidth_is_the_original_s():
    chance = np.random.default_rng(1)
    audio = (0.3 + chance.normal(size=(3, 8192))).astype(np.float32)
    bandwidth = losses.measure_bandwidth(torch.from_numpy(audio))
    # `calculate_bandwidth` of the original, whose items are these rows.
    mean = audio.sum(dtype=np.float64) / audio.size
    assert bandwidth.l1 == pytest.approx(np.abs(audio).mean(), rel=1e-5)
    assert bandwidth.l2 == pytest.approx((audio**2).mean() - mean**2, rel=1e-5)
    norms = [np.linalg.norm(spectrogram(row, 2048, 256, 6 * 256)) for row in audio]
    assert bandwidth.spectral == pytest.approx(np.mean(norms), rel=1e-5)


def test_with_its_bandwidth_rendering_silence_costs_what_the_original_counts():
    audio = torch.randn(4, 8192) * 0.1
    audio = audio - audio.mean()
    bandwidth = losses.measure_bandwidth(audio)
    silence = torch.zeros_like(audio)
    spectra = [losses.spectrograms(x, losses.ORIGINAL_RESOLUTIONS) for x in (audio, silence)]
    assert losses.l1_loss(audio, silence, bandwidth).item() == pytest.approx(1, rel=1e-4)
    assert losses.l2_loss(audio, silence, bandwidth).item() == pytest.approx(1, rel=1e-4)
    norms = [
        np.linalg.norm(spectrogram(row.numpy(), *sizes))
        for row in audio
        for sizes in ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
    ]
    expected = np.mean(norms) / bandwidth.spectral
    assert losses.multispectral_loss(*spectra, bandwidth).item() == pytest.approx(
        expected, rel=1e-3
    )
    assert 0.5 < expected < 1


def test_spectral_losses_of_silence_have_gradients_that_are_numbers():
    output = torch.zeros(1, 4096, requires_grad=True)
    spectra = [
        losses.spectrograms(x, losses.ORIGINAL_RESOLUTIONS) for x in (torch.zeros(1, 4096), output)
    ]
    (
        losses.multispectral_loss(*spectra, NO_BANDWIDTH) + losses.log_magnitude_loss(*spectra)
    ).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_the_vowel_loss_is_cross_entropy_over_the_tokens_whose_vowel_is_known():
    logits = torch.randn(2, 6, 3)
    vowels = torch.tensor([[0, 5, UNKNOWN_VOWEL], [UNKNOWN_VOWEL, 1, UNKNOWN_VOWEL]])
    logs = logits.log_softmax(dim=1)
    expected = -(logs[0, 0, 0] + logs[0, 5, 1] + logs[1, 1, 1]) / 3
    assert class_loss(logits, vowels).item() == pytest.approx(expected.item(), rel=1e-5)
    unknown = torch.full_like(vowels, UNKNOWN_VOWEL)
    assert class_loss(logits, unknown).item() == 0


def test_vowels_are_judged_only_where_one_is_sung():
    logits = torch.zeros(1, 6, 3)
    logits[0, 0] = 9.0  # "none" everywhere: the best of the vowels still counts
    logits[0, 2, 0] = logits[0, 3, 1] = 1.0
    assert class_accuracy(logits, torch.tensor([[2, 4, 0]])).item() == 0.5


def test_a_perfect_rendering_has_no_distance_and_codes_used_alike_a_full_perplexity():
    audio = torch.randn(2, 4096) * 0.1
    measured = Reconstruction(num_codes=8)
    measured.add(audio, audio, torch.arange(8).repeat(2, 1))
    figures = measured.figures()
    assert figures["snr_db"] > 60
    assert figures["spectral_convergence"] == pytest.approx(0, abs=1e-6)
    assert figures["log_spectral_distance_db"] == pytest.approx(0, abs=1e-6)
    assert figures["perplexity"] == pytest.approx(8, rel=1e-5)
    assert figures["codes_used"] == 8


def test_signal_to_noise_is_told_in_decibels():
    audio = torch.randn(1, 4096)
    measured = Reconstruction(num_codes=2)
    measured.add(audio, audio * 0.9, torch.zeros(1, 4, dtype=torch.int64))
    assert measured.figures()["snr_db"] == pytest.approx(20, abs=1e-3)


def test_the_chroma_loss_counts_tokens_whose_chord_is_known():
    logits = torch.zeros(1, 12, 3)
    chroma = torch.zeros(1, 12, 3)
    chroma[:, [0, 4, 7]] = 1.0
    logits[0, :, 2] = 50.0  # wrong, and unknown
    bass = torch.tensor([[1, 0, -100]])
    assert chroma_loss(logits, chroma, bass).item() == pytest.approx(0.6931, abs=1e-3)
    assert chroma_loss(logits, chroma, torch.full((1, 3), -100)).item() == 0
