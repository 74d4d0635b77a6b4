"""Each pattern equals plain attention under the mask that describes it."""

import pytest
import torch

from jukebox_core.config import AttentionKind, TransformerConfig
from jukebox_core.prior.attention import SelfAttention, build_attention
from jukebox_core.prior.patterns import AttentionPattern

BLOCK, HEADS, WIDTH, PREFIX = 4, 2, 6, 5


def _visible(kind, query, key):
    row, column = divmod(query, BLOCK)
    key_row, key_column = divmod(key, BLOCK)
    return {
        AttentionKind.ALL: key <= query,
        AttentionKind.ROW: key_row == row and key <= query,
        AttentionKind.COLUMN: key_column == column and key <= query,
        AttentionKind.PREVIOUS_ROW: key_row == row - 1,
        AttentionKind.LYRIC_PREFIX: key < PREFIX and key <= query,
        AttentionKind.LYRIC_ENCODER: True,
    }[kind]


def _dense(kind, query, key_value):
    """Plain attention, one query at a time; zero where nothing is visible."""
    heads = [x.view(*x.shape[:2], HEADS, -1) for x in (query, *key_value.chunk(2, -1))]
    queries, keys, values = (x.double() for x in heads)
    out = torch.zeros_like(queries)
    for t in range(query.shape[1]):
        seen = [k for k in range(key_value.shape[1]) if _visible(kind, t, k)]
        if seen:
            scores = torch.einsum("bhd,bkhd->bhk", queries[:, t], keys[:, seen])
            weights = (scores / (WIDTH // HEADS) ** 0.5).softmax(-1)
            out[:, t] = torch.einsum("bhk,bkhd->bhd", weights, values[:, seen])
    return out.flatten(2).float()


def _pattern(kind):
    return AttentionPattern(kind=kind, num_heads=HEADS, block_tokens=BLOCK, prefix_positions=PREFIX)


def _inputs(kind, num_tokens):
    torch.manual_seed(num_tokens)
    num_keys = 3 if kind is AttentionKind.LYRIC_ENCODER else num_tokens
    return 3 * torch.randn(2, num_tokens, WIDTH), torch.randn(2, num_keys, 2 * WIDTH)


@pytest.mark.parametrize("kind", AttentionKind)
@pytest.mark.parametrize("num_tokens", range(1, 18))
def test_a_pattern_is_dense_attention_under_its_mask(kind, num_tokens):
    query, key_value = _inputs(kind, num_tokens)
    out = _pattern(kind).attend(query, key_value)
    torch.testing.assert_close(out, _dense(kind, query, key_value), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", AttentionKind)
@pytest.mark.parametrize("num_tokens", [1, 8, 11])
def test_recorded_weights_are_distributions_over_what_the_kind_can_see(kind, num_tokens):
    query, key_value = _inputs(kind, num_tokens)
    weights = _pattern(kind).weights(query, key_value)
    num_keys = {
        AttentionKind.ALL: num_tokens,
        AttentionKind.ROW: BLOCK,
        AttentionKind.COLUMN: -(-num_tokens // BLOCK),
        AttentionKind.PREVIOUS_ROW: BLOCK,
        AttentionKind.LYRIC_PREFIX: min(num_tokens, PREFIX),
        AttentionKind.LYRIC_ENCODER: 3,
    }[kind]
    assert weights.shape == (2, HEADS, num_tokens, num_keys)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, num_tokens))


@pytest.mark.parametrize(
    "kind", [AttentionKind.ALL, AttentionKind.LYRIC_PREFIX, AttentionKind.LYRIC_ENCODER]
)
def test_recorded_weights_are_those_that_were_used(kind):
    query, key_value = _inputs(kind, 11)
    weights = _pattern(kind).weights(query, key_value)
    values = key_value[:, : weights.shape[-1], WIDTH:].unflatten(-1, (HEADS, -1))
    out = torch.einsum("bhtk,bkhd->bthd", weights, values).flatten(2)
    torch.testing.assert_close(out, _pattern(kind).attend(query, key_value), atol=1e-6, rtol=0)


def test_the_first_row_hears_nothing_of_a_previous_row_but_the_bias():
    config = TransformerConfig(
        width=WIDTH,
        layers=(AttentionKind.PREVIOUS_ROW,),
        num_heads=HEADS,
        num_blocks=3,
        context_tokens=3 * BLOCK,
        attention_width_ratio=1.0,
    )
    attention = build_attention(config, AttentionKind.PREVIOUS_ROW, 0)
    assert isinstance(attention, SelfAttention)
    torch.nn.init.normal_(attention.output.bias)
    query, key_value = attention.project(torch.randn(1, 3 * BLOCK, WIDTH), None)
    attended = attention.pattern.attend(query, key_value)
    assert attended[:, :BLOCK].eq(0).all()
    assert attended[:, BLOCK:].ne(0).all()
    assert attention.output(attended)[0, 0].equal(attention.output.bias)
