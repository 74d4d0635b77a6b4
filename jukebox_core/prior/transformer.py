"""The stack of residual blocks that all priors and the lyric encoder share."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from jukebox_core.config import AttentionKind, TransformerConfig
from jukebox_core.prior.attention import LyricAttention, build_attention
from jukebox_core.prior.kv_cache import DecodeStep, PriorCache
from jukebox_core.prior.projection import LayerNorm, Projection

_QUICK_GELU_SLOPE = 1.702


class FeedForward(nn.Module):
    """Two projections with x * sigmoid(1.702 x) between them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.input = Projection(config.width, config.mlp_width, init_scale=config.init_scale)
        self.output = Projection(config.mlp_width, config.width, init_scale=config.init_scale)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [..., C] to [..., C]."""
        # x * sigmoid(s x) = silu(s x) / s; both factors ride along with the products, for nothing.
        slope = _QUICK_GELU_SLOPE
        hidden = F.silu(self.input.forward(x, alpha=slope, beta=slope))
        return self.output.forward(hidden, alpha=1.0 / slope)


class TransformerLayer(nn.Module):
    """x + s (a + m) with a = attention(norm(x)) and m = mlp(norm(x + a)).

    s is `TransformerConfig.residual_scale`: 1 in the released models.
    """

    def __init__(
        self, config: TransformerConfig, kind: AttentionKind, prefix_positions: int
    ) -> None:
        super().__init__()
        self.kind = kind
        self.attention_norm = LayerNorm(config.width)
        self.attention = build_attention(config, kind, prefix_positions)
        self.mlp_norm = LayerNorm(config.width)
        self.mlp = FeedForward(config)
        self._residual_scale = config.residual_scale

    def forward(self, x: Tensor, lyric_states: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Output [B, T, C], and keys with values [B, K, 2 A], for x [B, T, C]."""
        query, key_value = self.attention.project(self.attention_norm(x), lyric_states)
        attended = self.attention.output(self.attention.pattern.attend(query, key_value))
        summed = x + attended
        return self._add(x, summed, attended, self.mlp(self.mlp_norm(summed))), key_value

    def attention_weights(self, x: Tensor, lyric_states: Tensor | None = None) -> Tensor:
        """Softmax weights float32 [B, H, T, K] for the same input as `forward`."""
        query, key_value = self.attention.project(self.attention_norm(x), lyric_states)
        return self.attention.pattern.weights(query, key_value)

    def decode(self, x: Tensor, strips: Tensor, step: DecodeStep) -> Tensor:
        """One position of every row, x [B, C]."""
        # `.forward` and not a call: hooks cost as much as a kernel here, and are not supported.
        attended = self.attention.decode(self.attention_norm.forward(x), strips, step)
        summed = x + attended
        return self._add(x, summed, attended, self.mlp.forward(self.mlp_norm.forward(summed)))

    def _add(self, x: Tensor, summed: Tensor, attended: Tensor, fed: Tensor) -> Tensor:
        """The output; `summed` is x + attended, which the norm has read as it is."""
        if self._residual_scale == 1.0:
            return summed + fed
        return x + self._residual_scale * (attended + fed)


class StackOutput(NamedTuple):
    """States float32 [B, T, C]; weights float32 [B, H, T, K] of the recorded layer, if any."""

    states: Tensor
    attention: Tensor | None


class Transformer(nn.Module):
    """Residual blocks in the dtype of their projections; float32 goes in and comes out.

    With `gradient_checkpointing` a layer's activations are computed again in the backward pass
    instead of being kept.
    """

    def __init__(self, config: TransformerConfig, *, prefix_positions: int = 0) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.layers = nn.ModuleList(
            TransformerLayer(config, kind, prefix_positions) for kind in config.layers
        )

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of the projections, the residual stream and the cache."""
        return self.stack()[0].mlp.input.compute_dtype

    def stack(self) -> "list[TransformerLayer]":
        """The layers, with their type."""
        return cast("list[TransformerLayer]", list(self.layers))

    def forward(
        self,
        x: Tensor,
        lyric_states: Tensor | None = None,
        record_attention: int | None = None,
    ) -> StackOutput:
        """All positions at once, x float32 [B, T, C].

        record_attention  index of a layer whose softmax weights are wanted
        """
        x = x.to(self.compute_dtype)
        attention = None
        for index, layer in enumerate(self.stack()):
            if index == record_attention:
                attention = layer.attention_weights(x, lyric_states)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x, _ = checkpoint(layer, x, lyric_states, use_reentrant=False)
            else:
                x, _ = layer(x, lyric_states)
        return StackOutput(x.float(), attention)

    def attention_in(self, x: Tensor, lyric_states: Tensor | None, layer: int) -> Tensor:
        """The softmax weights of one layer, as `forward` records them; no layer after it is run.

        x  float32 [B, T, C]
        """
        x = x.to(self.compute_dtype)
        for before in self.stack()[:layer]:
            x, _ = before(x, lyric_states)
        return self.stack()[layer].attention_weights(x, lyric_states)

    def states_after(
        self, x: Tensor, lyric_states: Tensor | None, layers: Sequence[int]
    ) -> list[Tensor]:
        """States float32 [B, T, C] behind the first n layers, for each n of `layers`.

        Layers after the last of these are not run.

        x  float32 [B, T, C]
        """
        x = x.to(self.compute_dtype)
        found = {0: x.float()} if 0 in layers else {}
        for number, layer in enumerate(self.stack()[: max(layers)], start=1):
            x, _ = layer(x, lyric_states)
            if number in layers:
                found[number] = x.float()
        return [found[number] for number in layers]

    def prefill(
        self, x: Tensor, lyric_states: Tensor | None, cache: PriorCache, slots: Tensor
    ) -> Tensor:
        """As `forward`, also leaving the cache ready for the position after x; the last state.

        x        float32 [B, T, C]
        slots    int64 [B]
        returns  float32 [B, C]
        """
        x = x.to(self.compute_dtype)
        for index, layer in enumerate(self.stack()):
            x, key_value = layer(x, lyric_states)
            cache.write_prefix(index, key_value, slots)
        return x[:, -1].float()

    def write_lyrics(self, lyric_states: Tensor | None, cache: PriorCache, slots: Tensor) -> None:
        """The part of `prefill` that depends on an encoder's lyrics alone.

        lyric_states  float32 [B, K, C]; None where nothing reads them
        """
        for index, layer in enumerate(self.stack()):
            if isinstance(layer.attention, LyricAttention):
                cache.write_prefix(index, layer.attention.project_lyrics(lyric_states), slots)

    def decode(
        self, x: Tensor, cache: PriorCache, steps: Mapping[AttentionKind, DecodeStep]
    ) -> Tensor:
        """One position of every row, float32 [B, C] -> float32 [B, C]."""
        x = x.to(self.compute_dtype)
        for layer, strips in zip(self.stack(), cache.layers, strict=True):
            x = layer.decode(x, strips, steps[layer.kind])
        return x.float()
