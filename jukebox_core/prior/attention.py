"""Attention layers: a whole sequence at once, or one position against the cache."""

from torch import Tensor, nn
from torch.nn import functional as F

from jukebox_core.config import AttentionKind, TransformerConfig
from jukebox_core.prior.kv_cache import DecodeStep
from jukebox_core.prior.patterns import AttentionPattern
from jukebox_core.prior.projection import Projection


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, in one of the five patterns that do so."""

    def __init__(self, config: TransformerConfig, pattern: AttentionPattern) -> None:
        super().__init__()
        width, scale = config.attention_width, config.init_scale
        self.pattern = pattern
        self._widths = (width, 2 * width)
        self.qkv = Projection(config.width, 3 * width, init_scale=scale)
        self.output = Projection(width, config.width, init_scale=scale)

    def project(self, x: Tensor, lyric_states: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries [B, T, A] and keys with values [B, T, 2 A] of x [B, T, C]."""
        query, key_value = self.qkv(x).split_with_sizes(self._widths, dim=-1)
        return query, key_value

    def decode(self, x: Tensor, strips: Tensor, step: DecodeStep) -> Tensor:
        """One position of every row, x [B, C]; writes its key and value, then reads its strip."""
        query, key_value = self.qkv.forward(x).split_with_sizes(self._widths, dim=-1)
        if step.write is not None:
            kept = key_value.to(strips.dtype)
            strips.view(-1, strips.shape[-1]).index_copy_(0, step.write, kept)
        return self.output.forward(_attend_strips(query, strips, step, self.pattern.num_heads))


class LyricAttention(nn.Module):
    """Attention of the music to the states of the lyric encoder."""

    def __init__(self, config: TransformerConfig, pattern: AttentionPattern) -> None:
        super().__init__()
        width, scale = config.attention_width, config.init_scale
        self.pattern = pattern
        self.query = Projection(config.width, width, init_scale=scale)
        self.lyric_key_value = Projection(config.width, 2 * width, init_scale=scale)
        # Training starts without lyrics: the original zeroes exactly these outputs.
        self.output = Projection(width, config.width, init_scale=0.0)

    def project(self, x: Tensor, lyric_states: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries [B, T, A] of x [B, T, C], keys with values [B, K, 2 A] of the lyrics [B, K, C].

        Raises:
            ValueError: no lyric states were given.
        """
        return self.query(x), self.project_lyrics(lyric_states)

    def project_lyrics(self, lyric_states: Tensor | None) -> Tensor:
        """Keys with values [B, K, 2 A] of the lyrics [B, K, C].

        Raises:
            ValueError: no lyric states were given.
        """
        if lyric_states is None:
            raise ValueError("this prior reads lyrics through an encoder, and got no lyric states")
        key_value: Tensor = self.lyric_key_value(lyric_states.to(self.query.compute_dtype))
        return key_value

    def decode(self, x: Tensor, strips: Tensor, step: DecodeStep) -> Tensor:
        """One position of every row, x [B, C], against the lyrics that prefill has stored."""
        query = self.query.forward(x)
        return self.output.forward(_attend_strips(query, strips, step, self.pattern.num_heads))


def build_attention(
    config: TransformerConfig, kind: AttentionKind, prefix_positions: int
) -> SelfAttention | LyricAttention:
    """The attention of one layer."""
    pattern = AttentionPattern(
        kind=kind,
        num_heads=config.num_heads,
        block_tokens=config.block_tokens,
        prefix_positions=prefix_positions,
    )
    if kind is AttentionKind.LYRIC_ENCODER:
        return LyricAttention(config, pattern)
    return SelfAttention(config, pattern)


def _attend_strips(query: Tensor, strips: Tensor, step: DecodeStep, num_heads: int) -> Tensor:
    num_rows, width = query.shape
    key_value = strips.index_select(0, step.read).to(query.dtype)
    # [2, B, H, K, D] without copying: a strip holds key and value of each position side by side.
    key, value = key_value.view(num_rows, -1, 2, num_heads, width // num_heads).permute(
        2, 0, 3, 1, 4
    )
    heads = query.view(num_rows, num_heads, 1, -1)
    out = F.scaled_dot_product_attention(heads, key, value, attn_mask=step.bias)
    return out.reshape(num_rows, width)
