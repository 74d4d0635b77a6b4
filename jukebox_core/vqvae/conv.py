"""Convolutional encoder and decoder of one level.

Both are chains of blocks, one for each level passed on the way: block 0 works at the rate of the
audio. Every tensor is float32 [B, channels, T].
"""

from torch import Tensor, nn

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import level_dilations


def level_width(config: JukeboxVQVAEConfig, level: int) -> int:
    """Channels inside the encoder and decoder of `level`."""
    return config.width * config.width_multipliers[level]


def decoder_dilations(config: JukeboxVQVAEConfig, level: int) -> tuple[int, ...]:
    """As `level_dilations`, of a decoder."""
    forwards = level_dilations(config, level)
    return forwards[::-1] if config.reverse_decoder_dilations else forwards


class ResidualLayer(nn.Module):
    """x + pointwise(relu(dilated(relu(x)))), length kept by zero padding."""

    def __init__(self, width: int, hidden_width: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, hidden_width, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(hidden_width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out: [B, width, T]."""
        hidden: Tensor = self.dilated(x.relu())
        branch: Tensor = self.pointwise(hidden.relu())
        return x + branch


def _residuals(
    config: JukeboxVQVAEConfig, level: int, layer_dilations: tuple[int, ...]
) -> nn.Sequential:
    width = level_width(config, level)
    hidden_width = int(config.conv_width_ratio * width)
    layers = (ResidualLayer(width, hidden_width, dilation) for dilation in layer_dilations)
    return nn.Sequential(*layers)


class DownStage(nn.Module):
    """One strided convolution, then residual layers at the lower rate."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int, in_width: int, stride: int) -> None:
        super().__init__()
        width = level_width(config, level)
        self.downsample = nn.Conv1d(in_width, width, 2 * stride, stride, padding=stride // 2)
        self.residuals = _residuals(config, level, level_dilations(config, level))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_width, T] -> [B, width, T / stride]."""
        y: Tensor = self.residuals(self.downsample(x))
        return y


class EncoderBlock(nn.Module):
    """Takes its input down by stride ** down, to embedding width."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int, block: int) -> None:
        super().__init__()
        width = level_width(config, level)
        in_width = 1 if block == 0 else config.embedding_width
        stride = config.strides[block]
        self.stages = nn.Sequential(
            *(
                DownStage(config, level, in_width if stage == 0 else width, stride)
                for stage in range(config.downs[block])
            )
        )
        self.output = nn.Conv1d(width, config.embedding_width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_width, T] -> [B, embedding, T / stride ** down]."""
        y: Tensor = self.output(self.stages(x))
        return y


class Encoder(nn.Module):
    """The encoder of one level: audio in, one vector per token out."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int) -> None:
        super().__init__()
        blocks = (EncoderBlock(config, level, block) for block in range(level + 1))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, audio: Tensor) -> Tensor:
        """[B, 1, T] -> [B, embedding, T / samples_per_token]."""
        vectors: Tensor = self.blocks(audio)
        return vectors


class UpStage(nn.Module):
    """Residual layers, then one transposed convolution to the higher rate."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int, out_width: int, stride: int) -> None:
        super().__init__()
        width = level_width(config, level)
        self.residuals = _residuals(config, level, decoder_dilations(config, level))
        self.upsample = nn.ConvTranspose1d(
            width, out_width, 2 * stride, stride, padding=stride // 2
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, T] -> [B, out_width, T * stride]."""
        y: Tensor = self.upsample(self.residuals(x))
        return y


class DecoderBlock(nn.Module):
    """Brings vectors of embedding width up by stride ** down, to embedding width."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int, block: int) -> None:
        super().__init__()
        width = level_width(config, level)
        down, stride = config.downs[block], config.strides[block]
        self.input = nn.Conv1d(config.embedding_width, width, 3, padding=1)
        self.stages = nn.Sequential(
            *(
                UpStage(
                    config, level, width if stage < down - 1 else config.embedding_width, stride
                )
                for stage in range(down)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, embedding, T] -> [B, embedding, T * stride ** down]."""
        y: Tensor = self.stages(self.input(x))
        return y


class Decoder(nn.Module):
    """The decoder of one level: one vector per token in, audio out."""

    def __init__(self, config: JukeboxVQVAEConfig, level: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            DecoderBlock(config, level, block) for block in range(level + 1)
        )
        self.output = nn.Conv1d(config.embedding_width, 1, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, embedding, T] -> [B, 1, T * samples_per_token]."""
        x = vectors
        for block in reversed(self.blocks):
            x = block(x)
        audio: Tensor = self.output(x)
        return audio
