"""The golden numbers, and the golden weights under our names."""

import json
import re
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.prior import JukeboxPrior

GOLDEN = Path(__file__).parents[1] / "golden"
TOPS = ("prior_5b", "prior_5b_lyrics", "prior_1b_lyrics")
UPSAMPLERS = ("upsampler_level_1", "upsampler_level_0")
PRIORS = TOPS + UPSAMPLERS

_NAMES = (
    (r"^prior\.", ""),
    (r"^prime_prior\.", "lyric_encoder."),
    (r"^prime_state_proj\.", "lyric_encoder.projection."),
    (r"^prime_state_ln\.", "lyric_encoder.norm."),
    (r"^prime_x_out\.", "lyric_encoder.logits."),
    (r"pos_emb\.pos_emb$", "position_embedding"),
    (r"x_emb\.", "token_embedding."),
    (r"x_out\.", "logits."),
    (r"_attn_mods\.", "layers."),
    (r"ln_0\.", "attention_norm."),
    (r"ln_1\.", "mlp_norm."),
    (r"attn\.c_enc_kv\.", "attention.lyric_key_value."),
    (r"attn\.c_attn\.", "attention.qkv."),
    (r"attn\.c_proj\.", "attention.output."),
    (r"mlp\.c_fc\.", "mlp.input."),
    (r"mlp\.c_proj\.", "mlp.output."),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
    (r"^y_emb\.bow_genre_emb\.emb", "labels.genre"),
    (r"^y_emb\.artist_emb\.emb", "labels.artist"),
    (r"^y_emb\.total_length_emb\.emb", "labels.total_length"),
    (r"^y_emb\.absolute_pos_emb\.emb", "labels.absolute_position"),
    (r"^y_emb\.relative_pos_emb\.emb", "labels.relative_position"),
    (r"^conditioner_blocks\.0\.token_embedding", "conditioner.embedding"),
    (r"^conditioner_blocks\.0\.ln\.", "conditioner.norm."),
    (r"^conditioner_blocks\.0\.cond\.model\.0\.", "conditioner.input."),
)


def _our_name(name: str, config: JukeboxPriorConfig) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    block = re.match(
        r"conditioner_blocks\.0\.cond\.model\.(\d+)\.0\.blocks\.(\d+)\.model\.(\d)", name
    )
    if block:
        part = {"1": "dilated", "3": "pointwise"}[block[3]]
        place = f"conditioner.stages.{int(block[1]) - 1}.blocks.{block[2]}.{part}"
        return place + name[block.end() :]
    stage = re.match(r"conditioner_blocks\.0\.cond\.model\.(\d+)\.1", name)
    if stage:
        return f"conditioner.stages.{int(stage[1]) - 1}.upsample" + name[stage.end() :]
    layer = re.match(r"transformer\.layers\.(\d+)\.attention\.qkv", name)
    if layer and config.transformer.layers[int(layer[1])] == "lyric_encoder":
        return name.replace("qkv", "query")
    return name


@cache
def case() -> dict:
    return json.loads((GOLDEN / "case.json").read_text())


@cache
def expected() -> dict[str, Tensor]:
    return load_file(GOLDEN / "expected.safetensors")


@cache
def config_of(name: str) -> JukeboxPriorConfig:
    top = name if name in TOPS else TOPS[0]
    priors = [case()["priors"][part] for part in (top, *UPSAMPLERS)]
    config = JukeboxConfig.from_openai(case()["vqvae"], priors)
    return config.priors[0 if name in TOPS else 1 + UPSAMPLERS.index(name)]


@cache
def golden_prior(name: str) -> JukeboxPrior:
    config = config_of(name)
    weights = torch.load(GOLDEN / f"{name}.pth.tar", weights_only=True)["model"]
    prior = JukeboxPrior(config)
    ours = {_our_name(key, config): value for key, value in weights.items()}
    if config.tied_embeddings:
        torch.testing.assert_close(ours.pop("logits.weight"), ours["token_embedding.weight"])
    prior.load_state_dict(ours)
    return prior.eval().requires_grad_(False)


def window_starts(name: str) -> tuple[int, int]:
    return (0, 40) if name in TOPS else (0, 32)


def upper_codes(name: str, start: int, codes: Tensor | None = None) -> Tensor | None:
    """Codes of the level above the window at `start`: of the encoded audio, unless given."""
    config = config_of(name)
    if config.level.upper is None:
        return None
    above = expected()[f"encode_{config.level + 1}"] if codes is None else codes
    return above[:, start // 4 : start // 4 + config.upper_context_tokens]
