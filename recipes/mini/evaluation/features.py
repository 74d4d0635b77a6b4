"""What listeners take in: codes with the vectors they stand for, and log-mel frames of sound."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

NUM_MELS = 64
FRAMES_PER_SECOND = 62.5
"""Of the log-mel frames, as far as whole samples allow it."""

_WINDOW_SEC = 0.064
_LOWEST_HZ = 60.0
_RANGE_DB = 60.0
"""What lies further below the loudest place of a song is taken as that: hiss is not to be heard."""

_CLIPS_AT_A_TIME = 8


class CodeFrontEnd(nn.Module):
    """Codes int64 [B, T] as vectors float32 [B, width, T], which begin as the codebook's own.

    Args:
        vectors: float32 [num_codes, width], the codebook.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        scaled = (vectors - vectors.mean(dim=0)) / vectors.std().clamp(min=1e-6)
        self.embedding = nn.Embedding(vectors.shape[0], vectors.shape[1])
        with torch.no_grad():
            self.embedding.weight.copy_(scaled)

    def forward(self, codes: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, width, T]."""
        vectors: Tensor = self.embedding(codes)
        return vectors.transpose(1, 2)


class MelFrontEnd(nn.Module):
    """Log-mel frames float32 [B, T, mels] on the scale of those learnt from, [B, mels, T]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, learnt_from: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", learnt_from.mean(dim=(0, 1)))
        self.register_buffer("deviation", learnt_from.std(dim=(0, 1)).clamp(min=1e-3))

    def forward(self, frames: Tensor) -> Tensor:
        """float32 [B, T, mels] -> [B, mels, T]."""
        return ((frames - self.mean) / self.deviation).transpose(1, 2)


def hop_samples(sample_rate_hz: int) -> int:
    """Distance of two log-mel frames."""
    return round(sample_rate_hz / FRAMES_PER_SECOND)


def log_mel(audio: Tensor, sample_rate_hz: int) -> Tensor:
    """Levels of sounds, free of their loudness as a whole.

    Every song is set against the mean of its own frames, and spans at most 60 dB.

    audio    float32 [B, samples]
    returns  float32 [B, samples // hop, mels] in units of 10 dB; frame i is centered on the time
             (i + 0.5) / frames per second
    """
    hop = hop_samples(sample_rate_hz)
    n_fft = 2 ** max(round(_WINDOW_SEC * sample_rate_hz - 1).bit_length(), 6)
    filters = mel_filters(sample_rate_hz, n_fft)
    num_frames = audio.shape[1] // hop
    padding = (n_fft - hop) // 2
    frames = []
    for clips in torch.split(audio, _CLIPS_AT_A_TIME):
        padded = functional.pad(clips, (padding, n_fft))
        spectrum = torch.stft(
            padded,
            n_fft,
            hop_length=hop,
            window=torch.hann_window(n_fft),
            center=False,
            return_complex=True,
        )
        power = spectrum.abs().square()[..., :num_frames].transpose(1, 2) @ filters
        frames.append(_levels(power))
    return torch.cat(frames)


def _levels(power: Tensor) -> Tensor:
    """Mel power [B, T, mels] to levels around 0 in units of 10 dB."""
    levels = power.clamp(min=1e-10).log10()
    loudest = levels.amax(dim=(1, 2), keepdim=True)
    levels = levels.maximum(loudest - _RANGE_DB / 10.0)
    return levels - levels.mean(dim=(1, 2), keepdim=True)


def mel_filters(sample_rate_hz: int, n_fft: int) -> Tensor:
    """Triangles spaced evenly in mel (O'Shaughnessy), float32 [n_fft / 2 + 1, mels]."""
    lowest, highest = _mel(torch.tensor([_LOWEST_HZ, sample_rate_hz / 2.0]))
    edges = torch.linspace(float(lowest), float(highest), NUM_MELS + 2)
    edges_hz = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
    bins_hz = torch.linspace(0.0, sample_rate_hz / 2.0, n_fft // 2 + 1)[:, None]
    # Low bands are narrower than a bin of the transform: at least one must fall into each.
    widths = (edges_hz[1:] - edges_hz[:-1]).clamp(min=sample_rate_hz / n_fft)
    rising = (bins_hz - edges_hz[1:-1] + widths[:-1]) / widths[:-1]
    falling = (edges_hz[1:-1] + widths[1:] - bins_hz) / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)


def _mel(frequency_hz: Tensor) -> Tensor:
    return 2595.0 * torch.log10(1.0 + frequency_hz / 700.0)


def disturb_mel(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Against learning by heart: a little noise, a tilt, a gap in pitch and one in time.

    float32 [B, T, mels] -> the same
    """
    batch, num_frames, num_mels = frames.shape
    noise = 0.1 * torch.randn(frames.shape, generator=generator)
    tilt = 0.15 * torch.randn(batch, 1, 1, generator=generator)
    frames = frames + noise + tilt * torch.linspace(-1.0, 1.0, num_mels)
    frames = _with_gap(frames, dim=2, longest=num_mels // 8, generator=generator)
    return _with_gap(frames, dim=1, longest=num_frames // 10, generator=generator)


def _with_gap(frames: Tensor, *, dim: int, longest: int, generator: torch.Generator) -> Tensor:
    size = frames.shape[dim]
    shape = (len(frames), 1, 1)
    lengths = torch.randint(longest + 1, shape, generator=generator)
    starts = (torch.rand(shape, generator=generator) * (size - lengths + 1)).long()
    places = torch.arange(size).view([-1 if index == dim else 1 for index in range(3)])
    return frames.masked_fill((places >= starts) & (places < starts + lengths), 0.0)


def codebook_vectors(vqvae: JukeboxVQVAE, level: Level) -> Tensor:
    """The table of one level, float32 [num_codes, width]."""
    return vqvae.get_submodule(f"codebooks.{int(level)}").get_buffer("codes").detach().float()


@torch.inference_mode()
def encode_clips(vqvae: JukeboxVQVAE, clips: Tensor, level: Level) -> Tensor:
    """Codes of clips float32 [N, samples] (whole tokens), int64 [N, T] on the CPU."""
    device = next(vqvae.parameters()).device
    codes = []
    for batch in torch.split(clips, _CLIPS_AT_A_TIME):
        (found,) = vqvae.encode(batch[..., None].to(device), int(level), int(level) + 1)
        codes.append(found.cpu())
    return torch.cat(codes)


@torch.inference_mode()
def decode_clips(vqvae: JukeboxVQVAE, codes: Tensor, level: Level) -> Tensor:
    """Sound of codes int64 [N, T], float32 [N, samples] on the CPU, within [-1, 1] as in a file."""
    device = next(vqvae.parameters()).device
    pieces = [
        vqvae.decode_chunked(batch.to(device), int(level)).cpu()
        for batch in torch.split(codes, _CLIPS_AT_A_TIME)
    ]
    return torch.cat(pieces)[..., 0].clamp(-1.0, 1.0)


def whole_tokens(num_samples: int, config: JukeboxVQVAEConfig) -> int:
    """The most samples that are whole tokens of every level."""
    hop = config.samples_per_token[Level.TOP]
    return num_samples // hop * hop
