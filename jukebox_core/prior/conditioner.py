"""Codes of the level above, as one vector per token of this level."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from jukebox_core.config import ConditionerConfig, JukeboxPriorConfig
from jukebox_core.prior.projection import INIT_STD, LayerNorm


class UpperConditioner(nn.Module):
    """Embedding, dilated residual convolutions, transposed convolutions, layer norm; all in fp32.

    It sees one window alone, with zeros beyond its edges. The convolutions reach further than a
    window, so running it once over a song would give other numbers.
    """

    def __init__(self, config: JukeboxPriorConfig, conditioner: ConditionerConfig) -> None:
        super().__init__()
        width = config.transformer.width
        last = conditioner.down - 1
        self.embedding = nn.Embedding(config.num_codes, width)
        nn.init.normal_(self.embedding.weight, std=INIT_STD * config.transformer.init_scale)
        self.input = nn.Conv1d(width, conditioner.width, kernel_size=3, padding=1)
        self.stages = nn.ModuleList(
            _Stage(conditioner, width if stage == last else conditioner.width)
            for stage in range(conditioner.down)
        )
        self.norm = LayerNorm(width)

    def forward(self, upper_codes: Tensor) -> Tensor:
        """upper_codes int64 [B, upper_context_tokens] -> float32 [B, context_tokens, C]."""
        x = self.input(self.embedding(upper_codes).transpose(1, 2))
        for stage in self.stages:
            x = stage(x)
        embedded: Tensor = self.norm(x.transpose(1, 2))
        return embedded


class _Stage(nn.Module):
    """Residual blocks, then one upsampling."""

    def __init__(self, config: ConditionerConfig, num_out: int) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(config.depth) if config.scale_residuals else 1.0
        self.blocks = nn.ModuleList(
            _DilatedBlock(config, config.dilation_growth_rate ** (i % config.dilation_cycle), scale)
            for i in range(config.depth)
        )
        self.upsample = nn.ConvTranspose1d(
            config.width,
            num_out,
            kernel_size=2 * config.stride,
            stride=config.stride,
            padding=config.stride // 2,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [B, C, T] to [B, num_out, stride * T]."""
        for block in self.blocks:
            x = block(x)
        upsampled: Tensor = self.upsample(x)
        return upsampled


class _DilatedBlock(nn.Module):
    def __init__(self, config: ConditionerConfig, dilation: int, scale: float) -> None:
        super().__init__()
        hidden = int(config.conv_width_ratio * config.width)
        self._scale = scale
        self.dilated = nn.Conv1d(
            config.width, hidden, kernel_size=3, dilation=dilation, padding=dilation
        )
        self.pointwise = nn.Conv1d(hidden, config.width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [B, C, T] to the same shape."""
        residual: Tensor = self.pointwise(F.relu(self.dilated(F.relu(x))))
        return x + self._scale * residual
