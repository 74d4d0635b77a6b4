"""Every hyperparameter of the original is read, refused by name, or changes nothing."""

import json
from pathlib import Path

import pytest

from jukebox_core.config import JukeboxConfig
from jukebox_core.config.openai_names import PRIOR_FIXED, VQVAE_FIXED, WITHOUT_EFFECT
from jukebox_core.config.openai_values import PRIOR_NAMES, VQVAE_NAMES
from jukebox_core.errors import ConfigError

CASE = json.loads((Path(__file__).parents[1] / "golden" / "case.json").read_text())
PARTS = ("prior_5b_lyrics", "upsampler_level_1", "upsampler_level_0")

# What `setup_hparams` of the original fills in, group by group, and what `train.py` adds.
DEFAULTS = {
    **{"rcall_command": "", "git_commit": ""},
    **{"name": "", "debug_mem": False, "debug_eval_files": False, "debug_speed": False},
    **{"debug_iters": 100, "debug_batch": False, "debug_grad_accum": False, "debug_inputs": False},
    **{"local_path": "", "local_logdir": "logs", "max_len": 24, "max_log": 32, "save": True},
    **{"save_iters": 20_000, "seed": 0, "prior": False, "log_steps": 100, "func": ""},
    **{"audio_files_dir": "", "finetune": "", "english_only": False, "bs": 1, "bs_sample": 1},
    **{"nworkers": 1, "aug_shift": False, "aug_blend": False, "train_test_split": 0.9},
    **{"train_shrink_factor": 1.0, "test_shrink_factor": 1.0, "p_unk": 0.1, "min_duration": None},
    **{"max_duration": None, "n_tokens": 0, "n_vocab": 0, "use_tokens": False, "curr_epoch": -1},
    **{"restore_vqvae": "", "levels": 2, "downs_t": (1, 1), "strides_t": (2, 2)},
    **{"hvqvae_multipliers": None, "revival_threshold": 1.0, "emb_width": 64, "l_bins": 512},
    **{"l_mu": 0.99, "commit": 1.0, "spectral": 0.0, "multispectral": 1.0, "loss_fn": "l2"},
    **{"linf_k": 2048, "lmix_l1": 0.0, "lmix_l2": 0.0, "lmix_linf": 0.0, "use_bottleneck": True},
    **{"depth": 3, "width": 128, "m_conv": 1.0, "dilation_growth_rate": 1},
    **{"dilation_cycle": None, "vqvae_reverse_decoder_dilation": True},
    **{"restore_prior": "", "restore_prior_ddp": False, "max_bow_genre_size": None, "y_bins": 0},
    **{"level": 0, "cond_levels": None, "t_bins": 64, "y_cond_as_bias": False},
    **{"copy_input": False, "merged_decoder": False, "single_enc_dec": False},
    **{"alignment_layer": None, "alignment_head": None},
    **{"n_ctx": 1024, "prior_depth": 3, "prior_width": 128, "heads": 1, "attn_order": 0},
    **{"blocks": None, "spread": None, "attn_dropout": 0.0, "resid_dropout": 0.0},
    **{"emb_dropout": 0.0, "zero_out": False, "res_scale": False, "pos_init": False},
    **{"init_scale": 1.0, "m_attn": 0.25, "m_mlp": 1.0, "c_res": 0, "c_attn": 0, "c_mlp": 0},
    **{"cond_depth": 3, "cond_width": 128, "cond_m_conv": 1.0, "cond_zero_out": False},
    **{"cond_res_scale": False, "cond_dilation_growth_rate": 1, "cond_dilation_cycle": None},
    **{"cond_c_res": 0, "primed_chunk_size": None, "selected_artists": "", "temp_top": 1.0},
    **{"temp_rest": 0.99, "sample_length_in_seconds": 24, "total_sample_length_in_seconds": 240},
    **{"prime_loss_fraction": 0.1, "restore_decoder": ""},
    **{"prime_depth": 3, "prime_width": 128, "prime_heads": 1, "prime_attn_order": 0},
    **{"prime_blocks": None, "prime_spread": None, "prime_attn_dropout": 0.0},
    **{"prime_resid_dropout": 0.0, "prime_emb_dropout": 0.0, "prime_zero_out": False},
    **{"prime_res_scale": False, "prime_pos_init": False, "prime_init_scale": 1.0},
    **{"prime_m_attn": 0.25, "prime_m_mlp": 1.0, "prime_c_res": 0, "prime_c_attn": 0},
    **{"prime_c_mlp": 0, "prime_rel_attn": False, "prime_posemb_timescale": 10_000},
    **{"epochs": 10_000, "lr": 0.0003, "clip": 1.0, "beta1": 0.9, "beta2": 0.999},
    **{"ignore_grad_norm": 0, "weight_decay": 0.0, "eps": 1e-8, "lr_warmup": 100.0},
    **{"lr_decay": 1e10, "lr_gamma": 1.0, "lr_scale": 1.0, "lr_use_linear_decay": False},
    **{"lr_start_linear_decay": 0, "lr_use_cosine_decay": False},
    **{"fp16": False, "fp16_params": False, "fp16_loss_scale": None, "fp16_scale_window": 1000.0},
    **{"fp16_opt": False, "labels": True, "labels_v3": False, "dump": False, "ema": True},
    **{"ema_fused": True, "cpu_ema": False, "cpu_ema_freq": 100, "reset_best_loss": False},
    **{"reset_step": False, "reset_opt": False, "reset_shd": False, "train": False},
    **{"test": False, "sample": False, "sampler": "ancestral", "codes_logdir": "", "date": None},
    **{"labeller": "top_genres", "label_line": 0, "iters_before_update": 1},
    **{"grad_accum_iters": 0, "mu": None, "piped": False, "pipe_depth": 8, "break_train": 1e10},
    **{"break_test": 1e10, "exit_train": 1e10, "n_fft": 1024, "hop_length": 256},
    **{"window_size": 1024, "sr": 44_100, "channels": 2, "wav": "", "n_inps": 1, "n_hops": 2},
    **{"n_segment": 1, "n_total_segment": 1, "n_segment_each": 1, "prime_chunks": 4},
    **{"sample_length": 0, "sample_hop_length": 30_000, "max_silence_pad_length": 0},
    **{"ignore_boundaries": False, "use_nonrelative_specloss": True},
    **{"multispec_loss_n_fft": (2048, 1024, 512), "multispec_loss_hop_length": (240, 120, 50)},
    **{"multispec_loss_window_size": (1200, 600, 240), "bucket": 128},
    **{"ngpus": 1, "argv": "", "bandwidth": {"l2": 1.0}},
}
READ = VQVAE_NAMES | PRIOR_NAMES
REFUSED = {**VQVAE_FIXED, **PRIOR_FIXED}

# Another value than the golden models have, where adding one or turning around is not enough.
OTHERS = {
    "y_bins": [120, 4112],
    "downs_t": [3, 2, 3],
    "strides_t": [2, 2, 4],
    "hvqvae_multipliers": [1, 1, 1],
    "attn_order": 8,
    "prime_attn_order": 0,
    "prior_depth": 29,
    "prime_depth": 6,
    "n_ctx": 128,
    "blocks": 4,
    "heads": 1,
    "prime_heads": 1,
    "prime_blocks": 2,
    "n_tokens": 32,
    "prior_width": 48,
    "prime_width": 32,
    "level": 3,
    "alignment_layer": None,
    "sr": 22_050,
    "min_duration": 30.0,
    "labels": False,
    "use_tokens": False,
    "single_enc_dec": True,
    "dilation_cycle": 1,
}


# What contradicts the rest of a model if it alone changes.
NEVER_ALONE = {"labels", "level", "single_enc_dec", "use_tokens"}


def config_of(everywhere: dict, golden: tuple[str, ...] = PARTS) -> JukeboxConfig:
    """The golden model; its dictionaries are as complete as those in checkpoints."""
    return JukeboxConfig.from_openai(
        {**DEFAULTS, **CASE["vqvae"], **everywhere},
        [{**DEFAULTS, **CASE["priors"][name], **everywhere} for name in golden],
    )


def other_than(name: str):
    value = next(
        part[name]
        for part in (CASE["priors"][PARTS[0]], CASE["priors"][PARTS[1]], CASE["vqvae"], DEFAULTS)
        if name in part
    )
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool) or value is None:
        return not value
    return value + 1 if isinstance(value, int | float) else [value]


def test_every_name_of_the_original_has_exactly_one_role():
    roles = [READ, set(REFUSED), WITHOUT_EFFECT]
    assert {name for name in DEFAULTS if sum(name in role for role in roles) != 1} == set()
    # The first release gave durations in samples, under a name that is gone.
    assert set().union(*roles) - set(DEFAULTS) == {"t_ranges"}


def test_all_that_a_checkpoint_says_of_itself_is_taken():
    plain = JukeboxConfig.from_openai(CASE["vqvae"], [CASE["priors"][name] for name in PARTS])
    assert config_of({}) == plain


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT & set(DEFAULTS)))
def test_what_has_no_effect_changes_nothing(name):
    assert config_of({name: other_than(name)}) == config_of({})


@pytest.mark.parametrize("name", sorted(READ & set(DEFAULTS)))
def test_what_is_read_changes_the_model_or_is_refused_by_name(name):
    changes = {name: other_than(name)}
    if name in NEVER_ALONE:
        with pytest.raises(ConfigError):
            config_of(changes)
    else:
        assert config_of(changes) != config_of({})


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_not_computed_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"'{name}' is"):
        config_of({name: other_than(name)})


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="not a hyperparameter of the original: res_scal, x"):
        config_of({"res_scal": True, "x": 1})


@pytest.mark.parametrize(
    "name",
    [
        *("hvqvae_multipliers", "dilation_cycle", "cond_dilation_cycle", "alignment_layer"),
        *("alignment_head", "fp16_loss_scale", "primed_chunk_size", "spread", "prime_spread"),
        *("mu", "date", "cond_levels", "res_scale", "cond_res_scale", "merged_decoder"),
        *("fp16_params", "labels_v3", "pos_init", "copy_input"),
    ],
)
def test_what_may_be_none_in_the_original_may_be_none_here(name):
    config_of({name: None})


def test_an_upsampler_may_leave_durations_open_and_the_top_prior_may_not():
    durations = {"min_duration": None, "max_duration": None}
    priors = [CASE["priors"][name] for name in PARTS]
    upsamplers = [{**hps, **durations} for hps in priors[1:]]
    config = JukeboxConfig.from_openai(CASE["vqvae"], [priors[0], *upsamplers])
    assert config.priors[0] == config_of({}).priors[0]
    assert config.priors[1].labels.min_duration_sec == 0.0
    with pytest.raises(ConfigError, match="'min_duration' is missing"):
        JukeboxConfig.from_openai(CASE["vqvae"], [{**priors[0], **durations}, *upsamplers])


def test_durations_may_be_ranges_in_samples_as_in_the_first_release():
    rate = 44_100
    top = {**CASE["priors"][PARTS[0]], "min_duration": None, "max_duration": None}
    top["t_ranges"] = ((23.8 * rate, 600.0 * rate), (0.0, 600.0 * rate), (0.0, 1.0))
    upsamplers = [CASE["priors"][name] for name in PARTS[1:]]
    labels = JukeboxConfig.from_openai(CASE["vqvae"], [top, *upsamplers]).priors[0].labels
    assert (labels.min_duration_sec, labels.max_duration_sec) == pytest.approx((23.8, 600.0))
    top["t_ranges"] = ((23.8 * rate, 600.0 * rate), (1.0, 600.0 * rate), (0.0, 1.0))
    with pytest.raises(ConfigError, match="'t_ranges' is"):
        JukeboxConfig.from_openai(CASE["vqvae"], [top, *upsamplers])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "9") for name in sorted(READ - {"level", "t_ranges"})),
        ("n_ctx", 64.0),
        ("heads", 0),
        ("prior_depth", True),
        ("dilation_cycle", 0),
        ("dilation_cycle", -1),
        ("downs_t", [3, 2]),
        ("downs_t", [3, 2, 0]),
        ("downs_t", None),
        ("strides_t", 2),
        ("y_bins", [120]),
        ("m_attn", float("nan")),
        ("res_scale", "no"),
        ("res_scale", 2),
        ("init_scale", None),
    ],
)
def test_a_wrong_type_is_a_sentence_that_names_the_field(name, value):
    for part in ("vqvae", "priors"):
        vqvae = {**CASE["vqvae"], **({name: value} if part == "vqvae" else {})}
        change = {name: value} if part == "priors" else {}
        priors = [{**CASE["priors"][each], **change} for each in PARTS]
        if name in (VQVAE_NAMES if part == "vqvae" else PRIOR_NAMES):
            with pytest.raises(ConfigError, match=f"'{name}'"):
                JukeboxConfig.from_openai(vqvae, priors)
            return
    pytest.fail("no part reads it")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("prior", {"blocks": 7}),
        ("prior", {"heads": 5}),
        ("prior", {"m_attn": 0.001}),
        ("prior", {"m_mlp": -1.0}),
        ("prior", {"attn_order": 2}),
        ("prior", {"attn_order": 12}),
        ("prior", {"use_tokens": False}),
        ("prior", {"n_tokens": 15}),
        ("prior", {"prime_attn_order": 6}),
        ("prior", {"prime_heads": 5}),
        ("prior", {"prime_blocks": 3}),
        ("prior", {"min_duration": 700.0}),
        ("prior", {"blocks": None}),
        ("vqvae", {"strides_t": [2, 3, 2]}),
        ("vqvae", {"m_conv": 0.01}),
        ("upsampler", {"cond_m_conv": 0.001}),
    ],
)
def test_contradictions_are_told_in_the_original_s_names(part, changes):
    hps = {
        "vqvae": CASE["vqvae"],
        "prior": CASE["priors"][PARTS[0]],
        "upsampler": CASE["priors"][PARTS[1]],
    }
    hps[part] = {**hps[part], **changes}
    priors = [hps["prior"], hps["upsampler"], CASE["priors"][PARTS[2]]]
    (name,) = changes
    with pytest.raises(ConfigError, match=f"hyperparameters? .*'{name}'"):
        JukeboxConfig.from_openai(hps["vqvae"], priors)


def test_a_part_that_is_no_dictionary_is_refused():
    with pytest.raises(ConfigError, match="are a list, not a dictionary"):
        JukeboxConfig.from_openai([], [{}])


def test_the_sample_rate_is_what_the_parts_say():
    assert config_of({"sr": 22_050}).vqvae.sample_rate_hz == 22_050
    assert config_of({"sr": 22_050}).priors[0].sample_rate_hz == 22_050
    priors = [CASE["priors"][name] for name in PARTS]
    with pytest.raises(ConfigError, match="'sr': one model has one sample rate"):
        JukeboxConfig.from_openai({**CASE["vqvae"], "sr": 22_050}, priors, sample_rate_hz=44_100)
    with pytest.raises(ConfigError, match="'sr': one model has one sample rate"):
        JukeboxConfig.from_openai(
            {**CASE["vqvae"], "sr": 22_050}, [{**hps, "sr": 44_100} for hps in priors]
        )
