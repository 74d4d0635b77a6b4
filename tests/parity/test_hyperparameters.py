"""What the original's hyperparameters change in its numbers, they change in ours.

`by_hand.py` is held against the golden numbers first, and then we are held against it.
"""

from functools import cache

import pytest
import torch

from jukebox_core.checkpoints import load_openai_prior, load_openai_vqvae
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from tests.backends.on_backend import OnBackend
from tests.parity import by_hand
from tests.parity.golden import CASE, GOLDEN, TOPS, expected
from tests.parity.random_checkpoints import prior_shapes, vqvae_shapes

UPSAMPLERS = ("upsampler_level_1", "upsampler_level_0")
CLOSE = {"atol": 3e-5, "rtol": 1e-5}


@cache
def tensors_of(part: str) -> dict[str, torch.Tensor]:
    return torch.load(GOLDEN / f"{part}.pth.tar", weights_only=True)["model"]


def config_with(part: str, changes: dict, **vqvae) -> JukeboxPriorConfig:
    """Of one prior, beside the golden others."""
    names = (part if part in TOPS else TOPS[0], *UPSAMPLERS)
    hps = {name: {**CASE["priors"][name], **(changes if name == part else {})} for name in names}
    config = JukeboxConfig.from_openai({**CASE["vqvae"], **vqvae}, [hps[name] for name in names])
    return config.priors[names.index(part)]


def saved(folder, tensors):
    path = folder / "weights.pth.tar"
    torch.save({"model": tensors, "step": 1, "hps": {}}, path)
    return path


def golden_window(part: str, start: int) -> tuple[torch.Tensor, ...]:
    """Codes, labels, lyric ids, start embedding and conditioning of one window."""
    golden = expected()
    labels = golden[f"{part}.y_{start}"]
    num_lyrics = CASE["priors"][part].get("n_tokens") or 0
    lyric_ids = labels[:, labels.shape[1] - num_lyrics :]
    return (
        *(golden[f"{part}.z_{start}"], labels, lyric_ids),
        *(golden[f"{part}.y_cond_{start}"], golden[f"{part}.x_cond_{start}"]),
    )


def upper_codes_of(prior: JukeboxPrior) -> torch.Tensor | None:
    if prior.config.level.upper is None:
        return None
    return expected()[f"encode_{prior.config.level + 1}"][:, : prior.config.upper_context_tokens]


def check_logits(prior: JukeboxPrior, part: str, tensors: dict, hps: dict) -> None:
    codes, labels, lyric_ids, start, positions = golden_window(part, 0)
    found = prior(codes, labels, upper_codes_of(prior)).logits
    wanted = by_hand.logits(codes, start, positions, lyric_ids, tensors, hps)
    torch.testing.assert_close(found, wanted, **CLOSE)


@torch.inference_mode()
def check_steps(prior: JukeboxPrior, codes, labels, upper) -> None:
    """One token after another gives the logits of the whole window."""
    music = slice(prior.config.num_prefix_tokens, None)
    wanted = prior.forward(codes, labels, upper).logits[:, music]
    cache = prior.allocate_cache(len(codes))
    slots = torch.arange(len(codes))
    conditioning = prior.condition(labels, upper)
    found = [prior.prefill(codes[:, :3], conditioning, cache, slots)]
    for position in range(4, codes.shape[1]):
        ids = prior.codes_to_ids(codes[:, position - 1])
        places = torch.full_like(slots, position)
        found.append(prior.decode(ids, places, cache, slots))
    torch.testing.assert_close(torch.stack(found, dim=1), wanted[:, 3:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("part", [*TOPS, *UPSAMPLERS])
def test_the_formulas_give_the_golden_logits(part):
    codes, _, lyric_ids, start, positions = golden_window(part, 0)
    found = by_hand.logits(
        codes, start, positions, lyric_ids, tensors_of(part), CASE["priors"][part]
    )
    torch.testing.assert_close(found, expected()[f"{part}.preds_0"], **CLOSE)


@pytest.mark.parametrize("level", [0, 1])
def test_the_formulas_give_the_golden_conditioning(level):
    part = f"upsampler_level_{level}"
    upper = expected()[f"encode_{level + 1}"][:, : CASE["n_ctx"] // 4]
    hps = CASE["priors"][part]
    found = by_hand.conditioned(upper, tensors_of(part), hps, down=2, layers="blocks")
    torch.testing.assert_close(found, expected()[f"{part}.x_cond_0"], **CLOSE)


@pytest.mark.parametrize("level", Level)
def test_the_formulas_give_the_golden_codes_and_audio(level):
    tensors, codes = tensors_of("vqvae"), expected()[f"encode_{level}"]
    assert torch.equal(by_hand.encode(expected()["x"], tensors, CASE["vqvae"], level), codes)
    audio = by_hand.decode(codes, tensors, CASE["vqvae"], level)
    torch.testing.assert_close(audio, expected()[f"decode_{level}"], **CLOSE)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        *((part, {"res_scale": True}) for part in (*TOPS, *UPSAMPLERS)),
        ("prior_5b_lyrics", {"prime_res_scale": True}),
        ("prior_5b_lyrics", {"res_scale": True, "prime_res_scale": True}),
    ],
)
def test_scaled_residual_branches(part, changes):
    prior = load_openai_prior(GOLDEN / f"{part}.pth.tar", config_with(part, changes))
    hps = {**CASE["priors"][part], **changes}
    check_logits(prior, part, tensors_of(part), hps)
    codes, labels, *_ = golden_window(part, 0)
    check_steps(prior, codes, labels, upper_codes_of(prior))


def test_one_sequence_of_lyrics_and_music_is_tied_whatever_merged_decoder_says():
    part, changes = "prior_1b_lyrics", {"merged_decoder": True}
    prior = load_openai_prior(GOLDEN / f"{part}.pth.tar", config_with(part, changes))
    check_logits(prior, part, tensors_of(part), {**CASE["priors"][part], **changes})


def test_one_sequence_has_lyrics_whatever_use_tokens_says():
    part = "prior_1b_lyrics"
    assert config_with(part, {"use_tokens": False}) == config_with(part, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"cond_res_scale": True},
        {"cond_res_scale": None},
        {"cond_dilation_cycle": None},
        {"cond_dilation_cycle": 1},
        {"cond_dilation_cycle": 3, "cond_res_scale": True},
    ],
)
@pytest.mark.parametrize("part", UPSAMPLERS)
def test_the_convolutions_of_a_conditioner(part, changes):
    prior = load_openai_prior(GOLDEN / f"{part}.pth.tar", config_with(part, changes))
    upper, hps = upper_codes_of(prior), {**CASE["priors"][part], **changes}
    found = prior.condition(expected()[f"{part}.y_0"], upper).position_embedding
    wanted = by_hand.conditioned(upper, tensors_of(part), hps, down=2, layers="blocks")
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_a_conditioner_without_recomputing_names_its_layers_otherwise(tmp_path):
    part, changes = "upsampler_level_1", {"cond_c_res": 0}
    tensors = {name.replace(".blocks.", ".model."): t for name, t in tensors_of(part).items()}
    prior = load_openai_prior(saved(tmp_path, tensors), config_with(part, changes))
    found = prior.condition(expected()[f"{part}.y_0"], upper_codes_of(prior)).position_embedding
    torch.testing.assert_close(found, expected()[f"{part}.x_cond_0"], **CLOSE)


@pytest.mark.parametrize(
    "changes",
    [
        {"vqvae_reverse_decoder_dilation": False},
        {"dilation_cycle": 1},
        {"dilation_cycle": 3},
        {"dilation_cycle": 3, "vqvae_reverse_decoder_dilation": False},
        {"dilation_growth_rate": 2},
        {"hvqvae_multipliers": None},
        {"hvqvae_multipliers": [1, 3, 2], "dilation_cycle": 2, "m_conv": 0.5},
        {"downs_t": [2, 1, 3], "strides_t": [2, 4, 2], "emb_width": 5},
    ],
)
def test_the_convolutions_of_a_vqvae(tmp_path, changes):
    hps = {**CASE["vqvae"], **changes}
    tensors = by_hand.random_tensors(vqvae_shapes(hps))
    path = saved(tmp_path, tensors)
    small = {"cond_dilation_cycle": None, "n_ctx": 64}
    priors = [{**CASE["priors"][name], **small} for name in ("prior_5b", *UPSAMPLERS)]
    config = JukeboxConfig.from_openai(hps, priors).vqvae
    vqvae = load_openai_vqvae(path, config)
    hop = config.samples_per_token[-1]
    audio = torch.randn(2, hop * 24, 1, generator=torch.Generator().manual_seed(1))
    for level in Level:
        (codes,) = vqvae.encode(audio, level, level + 1)
        wanted = by_hand.encode(audio, tensors, hps, level)
        assert (codes == wanted).float().mean() > 0.99  # a code may lie between two
        heard = vqvae.decode([wanted], level)
        torch.testing.assert_close(heard, by_hand.decode(wanted, tensors, hps, level), **CLOSE)
        in_pieces = vqvae.decode_chunked(wanted, level, 8)
        torch.testing.assert_close(in_pieces, heard, **CLOSE)


SMALL = {
    "n_ctx": 24,
    "prior_width": 16,
    "prior_depth": 10,
    "heads": 2,
    "blocks": 4,
    "y_bins": [3, 5],
    "max_bow_genre_size": 1,
    "t_bins": 6,
    "min_duration": 1.0,
    "max_duration": 60.0,
    "level": 2,
}
ENCODER = {
    "use_tokens": True,
    "n_tokens": 8,
    "n_vocab": 11,
    "prime_width": 12,
    "prime_depth": 4,
    "prime_heads": 1,
    "prime_attn_order": 2,
    "prime_blocks": 2,
}
MERGED = {"use_tokens": True, "n_tokens": 8, "n_vocab": 11, "single_enc_dec": True}


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize(
    "changes",
    [
        {"attn_order": 0},
        {"attn_order": 0, "blocks": None},
        {"attn_order": 1},
        {"attn_order": 6, **ENCODER},
        {"attn_order": 7, "prior_depth": 17, **ENCODER},
        {"attn_order": 8, **ENCODER},  # the original's own small preset with an encoder
        {"attn_order": 8, **ENCODER, "prime_attn_order": 0, "prime_blocks": None},
        {"attn_order": 9},
        {"attn_order": 10, "prior_depth": 20, **ENCODER, "prime_attn_order": 9},
        {"attn_order": 11, "prior_depth": 49, **ENCODER},
        {"attn_order": 12, "prior_depth": 49, **MERGED},
        {"attn_order": 8, **ENCODER, "merged_decoder": True, "m_attn": 0.5, "m_mlp": 2.0},
    ],
)
def test_the_attention_of_every_order(tmp_path, changes, backend):
    hps = {**SMALL, **changes}
    tensors = by_hand.random_tensors(prior_shapes(hps, CASE["vqvae"]["l_bins"]))
    names = ("upsampler_level_1", "upsampler_level_0")
    config = JukeboxConfig.from_openai(
        CASE["vqvae"], [hps, *(CASE["priors"][name] for name in names)]
    )
    prior = load_openai_prior(saved(tmp_path, tensors), config.priors[0])
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(CASE["vqvae"]["l_bins"], (2, hps["n_ctx"]), generator=generator)
    lyric_ids = torch.randint(11, (2, hps.get("n_tokens", 0)), generator=generator)
    labels = torch.tensor([[44_100 * 30, 44_100, 128 * 24, 2, 1]]).expand(2, -1)
    labels = torch.cat((labels, lyric_ids), dim=1)
    known = prior.condition(labels)
    wanted = by_hand.logits(
        codes, known.start_embedding[:, None], known.position_embedding, lyric_ids, tensors, hps
    )
    torch.testing.assert_close(prior(codes, labels).logits, wanted, atol=1e-4, rtol=1e-4)
    check_steps(prior if backend == "torch" else OnBackend(prior, backend), codes, labels, None)
