"""Names and shapes of the original's tensors for any hyperparameters."""

from tests.parity.by_hand import Hps, kind_of_layer

Shapes = dict[str, tuple[int, ...]]


def _convolution(name: str, out: int, into: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (out, into, kernel), f"{name}.bias": (out,)}


def vqvae_shapes(hps: Hps) -> Shapes:
    shapes: Shapes = {}
    embedding = hps["emb_width"]
    for level, multiplier in enumerate(hps.get("hvqvae_multipliers") or (1, 1, 1)):
        width, depth = hps["width"] * multiplier, hps["depth"] * multiplier
        hidden = int(hps["m_conv"] * width)

        def residuals(name: str, width: int = width, depth: int = depth, hidden: int = hidden):
            for layer in range(depth):
                shapes.update(_convolution(f"{name}.{layer}.model.1", hidden, width, 3))
                shapes.update(_convolution(f"{name}.{layer}.model.3", width, hidden, 1))

        for block in range(level + 1):
            down, kernel = hps["downs_t"][block], 2 * hps["strides_t"][block]
            encoder = f"encoders.{level}.level_blocks.{block}.model"
            decoder = f"decoders.{level}.level_blocks.{block}.model"
            shapes.update(_convolution(f"{decoder}.0", width, embedding, 3))
            for stage in range(down):
                into = width if stage else (embedding if block else 1)
                shapes.update(_convolution(f"{encoder}.{stage}.0", width, into, kernel))
                residuals(f"{encoder}.{stage}.1.model")
                residuals(f"{decoder}.{stage + 1}.0.model")
                out = width if stage < down - 1 else embedding
                transposed = f"{decoder}.{stage + 1}.1"
                shapes.update({f"{transposed}.weight": (width, out, kernel)})
                shapes.update({f"{transposed}.bias": (out,)})
            shapes.update(_convolution(f"{encoder}.{down}", embedding, width, 3))
        shapes.update(_convolution(f"decoders.{level}.out", 1, embedding, 3))
        shapes[f"bottleneck.level_blocks.{level}.k"] = (hps["l_bins"], embedding)
    return shapes


def _product(name: str, into: int, out: int) -> Shapes:
    return {f"{name}.w": (into, out), f"{name}.b": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _stack(name: str, width: int, depth: int, attn_order: int, hps: Hps) -> Shapes:
    shapes: Shapes = {}
    attended = int(hps.get("m_attn", 0.25) * width)
    hidden = int(hps.get("m_mlp", 1.0) * width)
    for layer in range(depth):
        its = f"{name}.transformer._attn_mods.{layer}"
        crosses = kind_of_layer(attn_order, layer) == 6
        shapes |= _norm(f"{its}.ln_0", width) | _norm(f"{its}.ln_1", width)
        shapes |= _product(f"{its}.attn.c_attn", width, attended * (1 if crosses else 3))
        if crosses:
            shapes |= _product(f"{its}.attn.c_enc_kv", width, 2 * attended)
        shapes |= _product(f"{its}.attn.c_proj", attended, width)
        shapes |= _product(f"{its}.mlp.c_fc", width, hidden)
        shapes |= _product(f"{its}.mlp.c_proj", hidden, width)
    return shapes


def prior_shapes(hps: Hps, l_bins: int) -> Shapes:
    """Of a top prior with labels."""
    width, num_lyrics = hps["prior_width"], hps.get("n_tokens", 0)
    merged = bool(hps.get("single_enc_dec"))
    num_ids = l_bins + (hps["n_vocab"] if merged else 0)
    length = hps["n_ctx"] + (num_lyrics if merged else 0)
    shapes: Shapes = {
        "prior.x_emb.weight": (num_ids, width),
        "prior.pos_emb.pos_emb": (length, width),
        "prior.x_out.weight": (num_ids, width),
        "y_emb.bow_genre_emb.emb.weight": (hps["y_bins"][0], width),
        "y_emb.artist_emb.emb.weight": (hps["y_bins"][1], width),
        **{
            f"y_emb.{table}_emb.emb.weight": (hps["t_bins"], width)
            for table in ("total_length", "absolute_pos", "relative_pos")
        },
    }
    if not hps.get("merged_decoder") or merged:
        del shapes["prior.x_out.weight"]
    shapes |= _stack("prior", width, hps["prior_depth"], hps["attn_order"], hps)
    if hps.get("use_tokens") and not merged:
        small, bins = hps["prime_width"], hps["n_vocab"]
        shapes |= {
            "prime_prior.start_token": (1, small),
            "prime_prior.x_emb.weight": (bins, small),
            "prime_prior.pos_emb.pos_emb": (num_lyrics, small),
            "prime_x_out.weight": (bins, width),
        }
        own = {
            "m_attn": hps.get("prime_m_attn", 0.25),
            "m_mlp": hps.get("prime_m_mlp", 1.0),
        }
        shapes |= _stack("prime_prior", small, hps["prime_depth"], hps["prime_attn_order"], own)
        shapes |= _product("prime_state_proj", small, width) | _norm("prime_state_ln", width)
    return shapes
