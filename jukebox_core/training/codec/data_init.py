"""Weights to begin with, scaled so that signals of the data keep their size in every layer.

With torch's own beginnings each layer shrinks its input, so that the vectors of all tokens lie
close together, and one step of the optimizer moves them all past most of the codes. The codebook
then has few codes in use for the first hundreds of steps.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from jukebox_core.vqvae.conv import (
    Decoder,
    DecoderBlock,
    DownStage,
    Encoder,
    EncoderBlock,
    UpStage,
)

_LEAST_DEVIATION = 1e-5


@torch.no_grad()
def scale_encoder(encoder: Encoder, audio: Tensor) -> Tensor:
    """Give every channel between the stages mean 0 and deviation 1 on `audio`.

    float32 [B, 1, T] -> [B, width, tokens], the vectors that the scaled encoder makes
    """
    x = audio
    for block in cast(Iterable[EncoderBlock], encoder.blocks):
        for stage in cast(Iterable[DownStage], block.stages):
            x = stage.residuals(_scaled(stage.downsample, x))
        x = _scaled(block.output, x)
    return x


@torch.no_grad()
def scale_decoder(decoder: Decoder, vectors: Tensor, deviation: float) -> Tensor:
    """The same for a decoder; its audio gets the deviation of the data.

    float32 [B, width, tokens] -> [B, 1, T]
    """
    x = vectors
    for block in reversed(list(cast(Iterable[DecoderBlock], decoder.blocks))):
        x = _scaled(block.input, x)
        for stage in cast(Iterable[UpStage], block.stages):
            x = _scaled(stage.upsample, stage.residuals(x))
    return _scaled(decoder.output, x, deviation)


def _scaled(layer: nn.Conv1d | nn.ConvTranspose1d, x: Tensor, deviation: float = 1.0) -> Tensor:
    """Scale the layer to mean 0 and `deviation` per output channel on `x`; its output then."""
    if layer.bias is None:
        raise TypeError(f"{layer} has no bias")
    output: Tensor = layer(x)
    factors = deviation / output.std(dim=(0, 2)).clamp_min(_LEAST_DEVIATION)
    means = output.mean(dim=(0, 2))
    shape = (-1, 1, 1) if isinstance(layer, nn.Conv1d) else (1, -1, 1)
    layer.weight.mul_(factors.view(shape))
    layer.bias.copy_((layer.bias - means) * factors)
    return (output - means[:, None]) * factors[:, None]
