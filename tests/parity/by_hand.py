"""The original's model as formulas over its own tensors and hyperparameters: slow, nothing shared.

Every attention is a table of who sees whom; every loop is written out. The golden numbers say that
it is right, and it says what hyperparameters mean that no golden number has.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Tensors = Mapping[str, Tensor]
Hps = Mapping[str, Any]


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep activations near 1, and everything else so that it shows."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: _spread(shape) * torch.randn(*shape, generator=generator)
        + (1.0 if ".ln" in name and name.endswith("weight") else 0.0)
        for name, shape in shapes.items()
    }


def _spread(shape: tuple[int, ...]) -> float:
    return (shape[1] * shape[2]) ** -0.5 if len(shape) == 3 else 0.3


# ---- attention and the stack ----


def kind_of_layer(attn_order: int, layer: int) -> int:
    """The number of the attention function."""
    rows = [1, 2, 3]
    if attn_order in (11, 12):
        lyrics = {11: 6, 12: 7}[attn_order]
        return [lyrics, lyrics, 0][layer % 3] if layer % 16 == 15 else rows[layer % 3]
    cycle = {
        0: [0],
        1: [1, 2],
        2: rows,
        6: [*rows, 6],
        7: [*rows * 5, 6],
        8: [*rows * 3, 6],
        9: [*rows, 0],
        10: [*rows * 3, *[*rows * 3, 6] * 7],
    }[attn_order]
    return cycle[layer % len(cycle)]


def visible(kind: int, num_queries: int, num_keys: int, row: int, prefix: int) -> Tensor:
    """bool [queries, keys]"""
    query, key = torch.arange(num_queries)[:, None], torch.arange(num_keys)[None, :]
    past = key <= query
    if kind == 0:
        return past
    if kind == 1:
        return past & (key // row == query // row)
    if kind == 2:
        return past & (key % row == query % row)
    if kind == 3:
        return key // row == query // row - 1
    if kind == 6:
        return torch.ones(num_queries, num_keys, dtype=torch.bool)
    assert kind == 7
    return past & (key < prefix)


def attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, heads: int) -> Tensor:
    """[B, T, A]; a query that sees nothing gets zeros."""
    outputs = []
    for q, k, v in zip(
        query.chunk(heads, -1), key.chunk(heads, -1), value.chunk(heads, -1), strict=True
    ):
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num(0.0)
        outputs.append(weights @ v)
    return torch.cat(outputs, dim=-1)


def product(x: Tensor, tensors: Tensors, name: str) -> Tensor:
    return x @ tensors[f"{name}.w"] + tensors[f"{name}.b"]


def norm(x: Tensor, tensors: Tensors, name: str) -> Tensor:
    return functional.layer_norm(
        x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    )


def stack(x: Tensor, tensors: Tensors, name: str, hps: Hps, lyrics: Tensor | None = None) -> Tensor:
    """`hps` under the names of the music's transformer."""
    length, depth, blocks = x.shape[1], hps["prior_depth"], hps.get("blocks") or 1
    scale = 1.0 / depth if hps.get("res_scale") else 1.0
    prefix = (hps.get("prime_len", 0) // blocks + 1) * blocks
    for layer in range(depth):
        its = f"{name}.transformer._attn_mods.{layer}"
        kind = kind_of_layer(hps["attn_order"], layer)
        projected = product(norm(x, tensors, f"{its}.ln_0"), tensors, f"{its}.attn.c_attn")
        if kind == 6:
            query = projected
            key, value = product(lyrics, tensors, f"{its}.attn.c_enc_kv").chunk(2, dim=-1)
        else:
            query, key, value = projected.chunk(3, dim=-1)
        seen = visible(kind, length, key.shape[1], length // blocks, prefix)
        attended = attention(query, key, value, seen, hps["heads"])
        a = product(attended, tensors, f"{its}.attn.c_proj")
        hidden = product(norm(x + a, tensors, f"{its}.ln_1"), tensors, f"{its}.mlp.c_fc")
        m = product(hidden * torch.sigmoid(1.702 * hidden), tensors, f"{its}.mlp.c_proj")
        x = x + scale * (a + m)
    return x


def shifted(ids: Tensor, tensors: Tensors, name: str, start: Tensor) -> Tensor:
    embedded = functional.embedding(ids[:, :-1], tensors[f"{name}.x_emb.weight"])
    x = torch.cat((start.expand(len(ids), 1, -1), embedded), dim=1)
    return x + tensors[f"{name}.pos_emb.pos_emb"]


def lyric_states(lyric_ids: Tensor, tensors: Tensors, hps: Hps) -> Tensor:
    """Of the separate encoder, [B, n_tokens, prior_width]."""
    renamed = {
        "prior_depth": hps["prime_depth"],
        "heads": hps["prime_heads"],
        "attn_order": hps["prime_attn_order"],
        "blocks": hps.get("prime_blocks"),
        "res_scale": hps.get("prime_res_scale"),
    }
    start = tensors["prime_prior.start_token"][None]
    x = shifted(lyric_ids, tensors, "prime_prior", start)
    x = stack(x, tensors, "prime_prior", renamed)
    return norm(product(x, tensors, "prime_state_proj"), tensors, "prime_state_ln")


def logits(
    codes: Tensor, start: Tensor, positions: Tensor, lyric_ids: Tensor, tensors: Tensors, hps: Hps
) -> Tensor:
    """Teacher-forced logits [B, T, V], the lyrics' first where they share the sequence.

    start [B, 1, C] and positions [B, n_ctx, C] are the conditioning.
    """
    lyrics, ids = None, codes
    if hps.get("single_enc_dec"):
        ids = torch.cat((lyric_ids, codes + hps["n_vocab"]), dim=1)
        positions = functional.pad(positions, (0, 0, lyric_ids.shape[1], 0))
        hps = {**hps, "prime_len": lyric_ids.shape[1]}
    elif hps.get("use_tokens"):
        lyrics = lyric_states(lyric_ids, tensors, hps)
    x = shifted(ids, tensors, "prior", start) + positions
    x = stack(x, tensors, "prior", hps, lyrics)
    if hps.get("merged_decoder") and not hps.get("single_enc_dec"):
        return x @ tensors["prior.x_out.weight"].t()
    return (x + positions) @ tensors["prior.x_emb.weight"].t()


# ---- convolutions ----


def convolve(x: Tensor, tensors: Tensors, name: str, **how: int) -> Tensor:
    return functional.conv1d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **how)


def residual_layers(
    x: Tensor,
    tensors: Tensors,
    name: str,
    *,
    depth: int,
    growth: int,
    cycle: int | None,
    is_reversed: bool = False,
    is_scaled: bool = False,
) -> Tensor:
    scale = 1.0 / math.sqrt(depth) if is_scaled else 1.0
    for place in range(depth):
        layer = depth - 1 - place if is_reversed else place
        dilation = growth ** (layer if cycle is None else layer % cycle)
        hidden = convolve(
            x.relu(), tensors, f"{name}.{place}.model.1", dilation=dilation, padding=dilation
        )
        x = x + scale * convolve(hidden.relu(), tensors, f"{name}.{place}.model.3")
    return x


def upsampled(x: Tensor, tensors: Tensors, name: str, stride: int) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.conv_transpose1d(x, weight, bias, stride, stride // 2)


def conditioned(upper: Tensor, tensors: Tensors, hps: Hps, *, down: int, layers: str) -> Tensor:
    """[B, n_ctx, C] from the codes above; `layers` is what the residual layers are called."""
    name = "conditioner_blocks.0"
    x = functional.embedding(upper, tensors[f"{name}.x_emb.weight"]).transpose(1, 2)
    x = convolve(x, tensors, f"{name}.cond.model.0", padding=1)
    for stage in range(down):
        x = residual_layers(
            x,
            tensors,
            f"{name}.cond.model.{stage + 1}.0.{layers}",
            depth=hps["cond_depth"],
            growth=hps["cond_dilation_growth_rate"],
            cycle=hps.get("cond_dilation_cycle"),
            is_scaled=bool(hps.get("cond_res_scale")),
        )
        x = upsampled(x, tensors, f"{name}.cond.model.{stage + 1}.1", 2)
    return norm(x.transpose(1, 2), tensors, f"{name}.ln")


def _layers_of(hps: Hps, level: int) -> dict[str, Any]:
    return {
        "depth": hps["depth"] * (hps.get("hvqvae_multipliers") or (1, 1, 1))[level],
        "growth": hps["dilation_growth_rate"],
        "cycle": hps.get("dilation_cycle"),
    }


def encode(audio: Tensor, tensors: Tensors, hps: Hps, level: int) -> Tensor:
    """Codes int64 [B, T'] of audio [B, T, 1]."""
    x = audio.transpose(1, 2)
    for block in range(level + 1):
        name, stride = f"encoders.{level}.level_blocks.{block}.model", hps["strides_t"][block]
        for stage in range(hps["downs_t"][block]):
            x = convolve(x, tensors, f"{name}.{stage}.0", stride=stride, padding=stride // 2)
            x = residual_layers(x, tensors, f"{name}.{stage}.1.model", **_layers_of(hps, level))
        x = convolve(x, tensors, f"{name}.{hps['downs_t'][block]}", padding=1)
    table = tensors[f"bottleneck.level_blocks.{level}.k"]
    return torch.cdist(x.transpose(1, 2).double(), table.double()).argmin(-1)


def decode(codes: Tensor, tensors: Tensors, hps: Hps, level: int) -> Tensor:
    """Audio [B, T, 1] of codes [B, T']."""
    x = functional.embedding(codes, tensors[f"bottleneck.level_blocks.{level}.k"]).transpose(1, 2)
    for block in reversed(range(level + 1)):
        name = f"decoders.{level}.level_blocks.{block}.model"
        x = convolve(x, tensors, f"{name}.0", padding=1)
        for stage in range(1, hps["downs_t"][block] + 1):
            x = residual_layers(
                x,
                tensors,
                f"{name}.{stage}.0.model",
                is_reversed=hps.get("vqvae_reverse_decoder_dilation", True),
                **_layers_of(hps, level),
            )
            x = upsampled(x, tensors, f"{name}.{stage}.1", hps["strides_t"][block])
    return convolve(x, tensors, f"decoders.{level}.out", padding=1).transpose(1, 2)
