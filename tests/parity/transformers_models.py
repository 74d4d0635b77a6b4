"""Small models of transformers 4.57.6 in the shapes of the released ones, with lively weights."""

import torch
from transformers import JukeboxConfig as TransformersConfig
from transformers import JukeboxModel as TransformersModel

_SHARED = {
    "music_vocab_size": 48,
    "hidden_size": 32,
    "blocks": 8,
    "n_ctx": 64,
    "attention_multiplier": 0.25,
    "mask": True,
    "res_downs_t": [3, 2, 2],
    "res_strides_t": [2, 2, 2],
    "max_duration": 600.0,
    "metadata_dims": [13, 17],
}

_TOP_1B = {
    **_SHARED,
    "level": 0,
    "attention_pattern": "enc_dec_with_lyrics",
    "num_layers": 48,
    "n_heads": 2,
    "is_encoder_decoder": True,
    "merged_decoder": False,
    "lyric_vocab_size": 79,
    "nb_relevant_lyric_tokens": 16,
    "encoder_loss_fraction": 0.4,
    "alignment_layer": 31,
    "alignment_head": 1,
}

_TOP_5B = {
    **_SHARED,
    "level": 0,
    "attention_pattern": "large_separated_enc_dec_w_lyrics",
    "num_layers": 19,
    "n_heads": 2,
    "is_encoder_decoder": False,
    "merged_decoder": True,
    "lyric_vocab_size": 80,
    "nb_relevant_lyric_tokens": 16,
    "encoder_loss_fraction": 0.4,
    "encoder_config": {
        "hidden_size": 16,
        "num_layers": 4,
        "n_heads": 2,
        "blocks": 4,
        "n_ctx": 16,
        "attention_pattern": "raw_column_previous_row_attention",
        "is_encoder_decoder": False,
        "mask": True,
        "music_vocab_size": 80,
        "lyric_vocab_size": 80,
        "nb_relevant_lyric_tokens": 0,
    },
}

_UPSAMPLER = {
    **_SHARED,
    "attention_pattern": "raw_column_previous_row_attention",
    "num_layers": 7,
    "n_heads": 1,
    "is_encoder_decoder": False,
    "merged_decoder": False,
    "nb_relevant_lyric_tokens": 0,
    "encoder_loss_fraction": 0.0,
    "lyric_vocab_size": 80,
    "res_conv_width": 16,
    "res_conv_depth": 4,
    "res_dilation_growth_rate": 3,
    "res_dilation_cycle": 2,
}

_VQVAE = {
    "levels": 3,
    "embed_dim": 16,
    "nb_discrete_codes": 48,
    "res_conv_width": 8,
    "res_conv_depth": 2,
    "res_dilation_growth_rate": 3,
    "multipliers": [2, 1, 1],
    "res_downs_t": [3, 2, 2],
    "res_strides_t": [2, 2, 2],
    "sample_length": 8192,
}

TOPS = {"1b": _TOP_1B, "5b": _TOP_5B}
GENRES = {"1b": 1, "5b": 5}
MIN_DURATION_SEC = {"1b": 17.84, "5b": 23.8}
TIME_BINS = {"1b": 64, "5b": 128}


def scaled(kind: str) -> dict:
    """A top prior that scales residual branches, also those of its encoder if it has one."""
    top = {**TOPS[kind], "attn_res_scale": True}
    if "encoder_config" in top:
        top["encoder_config"] = {**top["encoder_config"], "attn_res_scale": True}
    return top


def build(kind: str, *, is_variant: bool = False) -> TransformersModel:
    """A model whose top prior is 1b-like or 5b-like, with both upsamplers.

    `is_variant`: with what no released model has.
    """
    config = TransformersConfig(
        vqvae_config={**_VQVAE, "res_dilation_cycle": 2} if is_variant else _VQVAE,
        prior_config_list=[
            scaled(kind) if is_variant else TOPS[kind],
            {**_UPSAMPLER, "level": 1, "conv_res_scale": True},
            {**_UPSAMPLER, "level": 2, "conv_res_scale": False},
        ],
        nb_priors=3,
        timing_dims=TIME_BINS[kind],
        min_duration=MIN_DURATION_SEC[kind],
        max_duration=600.0,
        max_nb_genres=GENRES[kind],
    )
    model = TransformersModel(config).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
        for block in model.vqvae.bottleneck.level_blocks:
            block.codebook.copy_(torch.randn(block.codebook.shape, generator=generator))
    return model
