"""The layers of an encoder and a decoder in another order of memory and work, for training.

Same weights, same numbers to rounding, about 40 % less time on a CPU:

* residual layers work with the channels innermost, as the convolution kernels want it;
* the last transposed convolution and the output convolution, between which nothing is not linear,
  are one with a longer kernel. It goes to one channel where the two pass through the embedding
  width at the rate of the audio.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.vqvae.conv import (
    Decoder,
    DecoderBlock,
    DownStage,
    Encoder,
    EncoderBlock,
    ResidualLayer,
    UpStage,
)


def encode_fast(encoder: Encoder, audio: Tensor) -> Tensor:
    """What `encoder(audio)` gives, to rounding: [B, 1, T] -> [B, width, T / hop]."""
    x = audio
    for block in cast(Iterable[EncoderBlock], encoder.blocks):
        for stage in cast(Iterable[DownStage], block.stages):
            x = run_residuals(stage.residuals, stage.downsample(x))
        x = block.output(x)
    return x


def decode_fast(decoder: Decoder, vectors: Tensor) -> Tensor:
    """What `decoder(vectors)` gives, to rounding: [B, width, T] -> [B, 1, T * hop]."""
    x = vectors
    stages: list[UpStage] = []
    for block in reversed(list(cast(Iterable[DecoderBlock], decoder.blocks))):
        if stages:
            x = stages.pop().upsample(x)
        x = block.input(x)
        for stage in cast(Iterable[UpStage], block.stages):
            if stages:
                x = stages.pop().upsample(x)
            x = run_residuals(stage.residuals, x)
            stages.append(stage)
    return upsample_and_output(x, stages.pop().upsample, decoder.output)


def run_residuals(layers: nn.Sequential, x: Tensor) -> Tensor:
    """What `layers(x)` gives, to rounding: [B, width, T], any strides."""
    x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    for layer in cast(Iterable[ResidualLayer], layers):
        dilated, pointwise = layer.dilated, layer.pointwise
        dilation = dilated.dilation[0]
        hidden = functional.conv2d(
            x.relu(),
            dilated.weight.unsqueeze(2),
            dilated.bias,
            padding=(0, dilation),
            dilation=(1, dilation),
        ).relu_()
        x = x + functional.conv2d(hidden, pointwise.weight.unsqueeze(2), pointwise.bias)
    return x.squeeze(2)


def upsample_and_output(x: Tensor, upsample: nn.ConvTranspose1d, output: nn.Conv1d) -> Tensor:
    """`output(upsample(x))` for a kernel of twice the stride, and an output kernel of 3.

    [B, in, T] -> [B, 1, T * stride]
    """
    stride, padding = upsample.stride[0], int(upsample.padding[0])
    up, out = upsample.weight, output.weight  # [in, middle, 2 * stride], [1, middle, 3]
    up_bias, out_bias = _bias(upsample), _bias(output)
    # Tap k of the output reads a sample further to the right, so its kernel lies further left.
    taps = torch.einsum("imj,omk->kioj", up, out)
    kernel = torch.stack([functional.pad(taps[k], (2 - k, k)) for k in range(3)]).sum(dim=0)
    bias = out_bias + torch.einsum("m,omk->o", up_bias, out)
    rendered = functional.conv_transpose1d(x, kernel, bias, stride, padding + 1)
    # The output convolution meets zeros beyond the ends, where the single kernel looks further.
    before = x[:, :, 0] @ up[:, :, padding - 1] + up_bias
    after = x[:, :, -1] @ up[:, :, stride + padding] + up_bias
    rendered[:, 0, 0] -= before @ out[0, :, 0]
    rendered[:, 0, -1] -= after @ out[0, :, 2]
    return rendered


def _bias(layer: nn.Conv1d | nn.ConvTranspose1d) -> Tensor:
    if layer.bias is None:
        raise TypeError(f"{layer} has no bias")
    return layer.bias
