"""A filter behind the bottom decoder that takes haze from its sound, an option of ours.

The released models have none. A decoder leaves noise between the partials of a tone, and a prior
that errs adds more. Convolutions over the short-time Fourier transform tell the one from the other
and set a gain for every bin; phases stay as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.config import PostFilterConfig

_LEAST_MAGNITUDE = 1e-3
"""Below it a bin counts as silent: a full-scale sine has about a quarter of `n_fft`."""

_LARGEST_GAIN = 2.0


class PostFilter(nn.Module):
    """Convolutions that see magnitudes and give gains between 0 and 2.

    A new one changes nothing: the last convolution is 0, and so every gain 1.
    """

    def __init__(self, config: PostFilterConfig) -> None:
        super().__init__()
        self.config = config
        widths = [2, *[config.width] * (len(config.time_dilations) - 1), 1]
        dilations = zip(config.bin_dilations, config.time_dilations, strict=True)
        self.layers = nn.ModuleList(
            nn.Conv2d(in_width, out_width, 3, padding=dilation, dilation=dilation)
            for in_width, out_width, dilation in zip(
                widths[:-1], widths[1:], dilations, strict=True
            )
        )
        last = self.layers[-1]
        for weight in last.parameters():
            nn.init.zeros_(weight)

    def forward(self, audio: Tensor) -> Tensor:
        """float32 [B, T] -> [B, T]; silence is assumed before and after.

        Frames begin at multiples of `hop`: a piece of a longer sound is filtered as in the whole
        where it begins at such a multiple too, but for `reach_samples` at cut ends.
        """
        config = self.config
        num_samples = audio.shape[-1]
        padded = functional.pad(audio, (0, -num_samples % config.hop))
        window = torch.hann_window(config.n_fft, device=audio.device)
        spectrum = torch.stft(
            padded,
            config.n_fft,
            config.hop,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        filtered = torch.istft(
            spectrum * self.gains(spectrum),
            config.n_fft,
            config.hop,
            window=window,
            length=padded.shape[-1],
        )
        return filtered[..., :num_samples]

    def gains(self, spectrum: Tensor) -> Tensor:
        """complex64 [B, bins, frames] -> float32 [B, bins, frames]."""
        # Not `abs`, whose slope is not finite where there is nothing at all.
        powers = torch.view_as_real(spectrum).square().sum(dim=-1)
        levels = 0.5 * (powers + _LEAST_MAGNITUDE**2).log10()
        places = torch.linspace(-1.0, 1.0, levels.shape[1], device=levels.device)
        features = torch.stack((levels, places[:, None].expand_as(levels)), dim=1)
        x = self.layers[0](features.contiguous(memory_format=torch.channels_last)).relu_()
        for layer in self.layers[1:-1]:
            x = layer(x).relu_() + x
        gains: Tensor = _LARGEST_GAIN * self.layers[-1](x).squeeze(1).sigmoid()
        return gains
