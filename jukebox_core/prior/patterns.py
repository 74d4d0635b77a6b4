"""Which keys a query sees, for a whole sequence at once.

A sequence of T positions is cut into rows of `block_tokens`. Each pattern regroups queries and
keys so that plain attention inside every group is the pattern; the kinds are described in
`AttentionKind`, the original's version is `transformer/factored_attention.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from jukebox_core.config import AttentionKind

_FACTORED = (AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW)
_CAUSAL = (
    AttentionKind.ALL,
    AttentionKind.ROW,
    AttentionKind.COLUMN,
    AttentionKind.LYRIC_PREFIX,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPattern:
    """One attention kind with the sizes it needs.

    `prefix_positions` is read by LYRIC_PREFIX alone.
    """

    kind: AttentionKind
    num_heads: int
    block_tokens: int
    prefix_positions: int = 0

    def attend(self, query: Tensor, key_value: Tensor) -> Tensor:
        """Attention of every position.

        query      [B, T, A]
        key_value  [B, K, 2 A]   keys, then values; K = T except for LYRIC_ENCODER
        returns    [B, T, A]
        """
        queries, keys, values = self._group(query, key_value)
        out = _dot_product(queries, keys, values, is_causal=self.kind in _CAUSAL)
        return self._ungroup(out, query).transpose(1, 2).reshape(query.shape)

    def weights(self, query: Tensor, key_value: Tensor) -> Tensor:
        """Softmax weights, float32 [B, H, T, K], of the same arguments as `attend`.

        K counts the keys that the kind can see at all: a row, a column of `ceil(T / block_tokens)`
        rows, the lyrics, the prefix, or everything. PREVIOUS_ROW sees zeros in row 0, so its
        weights are equal there.
        """
        queries, keys, _ = self._group(query, key_value)
        scores = queries.float() @ keys.float().transpose(-1, -2) * queries.shape[-1] ** -0.5
        if self.kind in _CAUSAL:
            visible = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
            scores = scores.masked_fill(~visible, -torch.inf)
        return self._ungroup(scores.softmax(-1), query)

    def _group(self, query: Tensor, key_value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as [group, H, positions in the group, D]."""
        key, value = key_value.chunk(2, dim=-1)
        if self.kind is AttentionKind.LYRIC_PREFIX:
            key, value = key[:, : self.prefix_positions], value[:, : self.prefix_positions]
        if self.kind is AttentionKind.PREVIOUS_ROW:
            key, value = self._delayed(key), self._delayed(value)
        return self._split(query), self._split(key), self._split(value)

    def _delayed(self, x: Tensor) -> Tensor:
        # Row 0 sees a row of zeros: its output is exactly zero before the output projection.
        return F.pad(x, (0, 0, self.block_tokens, 0))[
            :, : x.shape[1] + -x.shape[1] % self.block_tokens
        ]

    def _split(self, x: Tensor) -> Tensor:
        if self.kind not in _FACTORED:
            return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
        # A last row that is not full is filled up with zeros, which no real query ever sees.
        num_missing = -x.shape[1] % self.block_tokens
        x = F.pad(x, (0, 0, 0, num_missing)) if num_missing else x
        width = x.shape[-1] // self.num_heads
        rows = x.reshape(x.shape[0], -1, self.block_tokens, self.num_heads, width)
        if self.kind is AttentionKind.COLUMN:
            return rows.permute(0, 2, 3, 1, 4).flatten(0, 1)
        return rows.transpose(2, 3).flatten(0, 1)

    def _ungroup(self, grouped: Tensor, query: Tensor) -> Tensor:
        """[group, H, positions in the group, X] back to [B, H, T, X]."""
        if self.kind not in _FACTORED:
            return grouped
        groups = grouped.view(query.shape[0], -1, *grouped.shape[1:])
        order = (0, 2, 3, 1, 4) if self.kind is AttentionKind.COLUMN else (0, 2, 1, 3, 4)
        return groups.permute(order).flatten(2, 3)[:, :, : query.shape[1]]


def _dot_product(queries: Tensor, keys: Tensor, values: Tensor, *, is_causal: bool) -> Tensor:
    is_slow = queries.dtype is torch.bfloat16 and queries.device.type == "cpu"
    if not (is_slow and queries.requires_grad):
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)
    # Beware: on a CPU the backward pass takes ten times as long in bfloat16 as in float32.
    with torch.autocast("cpu", enabled=False):
        wide = F.scaled_dot_product_attention(
            queries.float(), keys.float(), values.float(), is_causal=is_causal
        )
    return wide.to(queries.dtype)
