"""What is heard as haze, noise and gaps: plain measures, none of which any loss knows.

A low-pass wins the first and loses the others, and so does a gate: they count together.
"""

import torch
from torch import Tensor
from torch.nn import functional

from recipes.mini.evaluation.features import mel_filters

_N_FFT, _HOP = 2048, 512
_LOWEST_BAND_HZ = 250.0
_QUIETEST_SHARE = 0.1
_AUDIBLE_DB = 40.0
_NUM_SPREAD_BANDS = 2
_MASK_DB = 10.0
_UP_DB, _DOWN_DB = 15.0, 25.0
_LEAST_MAGNITUDE = 1e-3
_FRAME_SEC = 0.016
_GAP_DB = 25.0
_GAP_FRAMES = 2
_EDGE_SEC = 0.5


def valley_db(audio: Tensor, sample_rate_hz: int) -> float:
    """How deep the valleys between partials are: the quietest tenth of an octave's bins, in dB.

    Against the mean magnitude of that octave, mean over octaves from 250 Hz up and over frames
    within 40 dB of the loudest one of their song; lower is cleaner. float32 [songs, samples].
    """
    spectra = _magnitudes(audio, _N_FFT, _HOP)
    levels_db = 10.0 * spectra.square().mean(dim=1).clamp_min(1e-12).log10()
    frames = spectra.transpose(1, 2)[levels_db > levels_db.amax(dim=1, keepdim=True) - _AUDIBLE_DB]
    depths = []
    lowest_hz = _LOWEST_BAND_HZ
    while 2 * lowest_hz <= sample_rate_hz / 2:
        first, last = (round(edge * _N_FFT / sample_rate_hz) for edge in (lowest_hz, 2 * lowest_hz))
        band = frames[:, first:last].sort(dim=1).values
        quiet = band[:, : max(round(_QUIETEST_SHARE * band.shape[1]), 1)].mean(dim=1)
        depths.append(20.0 * ((quiet + 1e-6) / (band.mean(dim=1) + 1e-6)).log10().mean())
        lowest_hz *= 2
    return float(torch.stack(depths).mean())


def mel_distance_db(true: Tensor, other: Tensor, sample_rate_hz: int) -> float:
    """Mean difference of the levels of 64 mel bands, dB; both float32 [songs, samples]."""
    bands = mel_filters(sample_rate_hz, _N_FFT)
    levels = [
        20.0 * (_magnitudes(sound, _N_FFT, _HOP).transpose(1, 2) @ bands)
        .clamp_min(_LEAST_MAGNITUDE).log10()
        for sound in (true, other)
    ]  # fmt: skip
    return float((levels[0] - levels[1]).abs().mean())


def noise_to_mask_db(true: Tensor, other: Tensor, sample_rate_hz: int) -> float:
    """How far the difference of magnitudes lies above what the true sound hides, dB.

    A plain model of masking: in every mel band noise is hidden 10 dB below the signal, and the
    mask falls by 15 dB a band upwards and 25 dB a band downwards. Mean over bands and frames of
    the levels, none of which counts as lower than -20 dB. Both float32 [songs, samples].
    """
    bands = mel_filters(sample_rate_hz, _N_FFT)
    spectra = [_magnitudes(sound, _N_FFT, _HOP).transpose(1, 2) for sound in (true, other)]
    signal = spectra[0].square() @ bands
    noise = (spectra[0] - spectra[1]).square() @ bands
    mask = signal
    for number in range(1, _NUM_SPREAD_BANDS + 1):
        upwards = functional.pad(signal[..., :-number], (number, 0))
        downwards = functional.pad(signal[..., number:], (0, number))
        mask = torch.maximum(mask, upwards * 10 ** (-_UP_DB * number / 10))
        mask = torch.maximum(mask, downwards * 10 ** (-_DOWN_DB * number / 10))
    mask = (mask * 10 ** (-_MASK_DB / 10)).clamp_min(_LEAST_MAGNITUDE**2)
    return float((10.0 * ((noise + 1e-9) / mask).log10()).clamp_min(-20.0).mean())


def dropouts_per_10_sec(audio: Tensor, sample_rate_hz: int) -> float:
    """Gaps of 32 ms and more, 25 dB below the median level of their song; float32 [songs, samples].

    The first half second and the last do not count: songs begin and end softly.
    """
    frame = round(_FRAME_SEC * sample_rate_hz)
    edge = round(_EDGE_SEC * sample_rate_hz)
    inner = audio[:, edge:-edge]
    frames = inner[:, : inner.shape[1] // frame * frame].reshape(len(inner), -1, frame)
    levels_db = 10.0 * frames.square().mean(dim=2).clamp_min(1e-10).log10()
    is_low = levels_db < levels_db.median(dim=1, keepdim=True).values - _GAP_DB
    # A gap is counted where it has lasted for so many frames, once.
    long = is_low.float().unfold(1, _GAP_FRAMES, 1).amin(dim=2)
    begins = (functional.pad(long, (1, 0))[:, 1:] - functional.pad(long, (1, 0))[:, :-1]) > 0
    return float(begins.sum() / (inner.numel() / sample_rate_hz) * 10.0)


def _magnitudes(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """float32 [songs, bins, frames]."""
    window = torch.hann_window(n_fft)
    return torch.stft(audio, n_fft, hop, window=window, return_complex=True).abs()
