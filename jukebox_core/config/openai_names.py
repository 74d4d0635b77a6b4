"""Every hyperparameter of the original (`hparams.py`, and what its `train.py` adds to them).

Each name has one role. `openai.py` reads those that describe a model; the others are here. A name
that is in none of these tables is refused: it may change what is computed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jukebox_core.errors import ConfigError

VQVAE_FIXED: Mapping[str, Any] = {
    "levels": 3,  # a model of this library is a VQ-VAE of three levels and three priors
    "use_bottleneck": True,  # without one there are no codes for a prior
}
"""Of a VQ-VAE: what this library does not compute unless it is so."""

PRIOR_FIXED: Mapping[str, Any] = {
    "pos_init": False,  # the original calls a function here that it does not have
    "prime_pos_init": False,
    "copy_input": False,  # trains on a copy of the codes in place of lyrics
    # Declared by the original and read nowhere: whoever trained with them used other code.
    "cond_levels": None,
    "prime_rel_attn": False,
    "y_cond_as_bias": False,
}
"""Of a prior: what this library does not compute unless it is so."""

_INITIAL_VALUES = """cond_zero_out prime_zero_out zero_out"""
_DROPOUT = """
attn_dropout emb_dropout resid_dropout prime_attn_dropout prime_emb_dropout prime_resid_dropout
"""
# `spread` belongs to an attention that no accepted `attn_order` has.
_UNREAD = """prime_posemb_timescale prime_spread spread"""
_RECOMPUTING = """c_attn c_mlp c_res cond_c_res prime_c_attn prime_c_mlp prime_c_res"""
_CODEC_TRAINING = """
bandwidth linf_k lmix_l1 lmix_l2 lmix_linf loss_fn multispec_loss_hop_length multispec_loss_n_fft
multispec_loss_window_size revival_threshold use_nonrelative_specloss
"""
_TRAINING = """
aug_blend aug_shift beta1 beta2 break_test break_train bs clip cpu_ema cpu_ema_freq curr_epoch ema
ema_fused epochs eps exit_train fp16 fp16_loss_scale fp16_opt fp16_scale_window grad_accum_iters
ignore_grad_norm iters_before_update lr lr_decay lr_gamma lr_scale lr_start_linear_decay
lr_use_cosine_decay lr_use_linear_decay lr_warmup mu p_unk pipe_depth piped reset_best_loss
reset_opt reset_shd reset_step seed test train weight_decay
"""
_DATA = """
audio_files_dir channels english_only finetune hop_length ignore_boundaries label_line labeller
max_silence_pad_length n_fft n_hops n_inps n_segment n_segment_each n_total_segment nworkers
prime_chunks sample_hop_length sample_length test_shrink_factor train_shrink_factor
train_test_split wav window_size
"""
_SAMPLING = """
bs_sample codes_logdir primed_chunk_size sample sample_length_in_seconds sampler selected_artists
temp_rest temp_top total_sample_length_in_seconds
"""
_SCRIPT = """
argv bucket date debug_batch debug_eval_files debug_grad_accum debug_inputs debug_iters debug_mem
debug_speed dump func git_commit local_logdir local_path log_steps max_len max_log name ngpus prior
rcall_command restore_decoder restore_prior restore_prior_ddp restore_vqvae save save_iters
"""

WITHOUT_EFFECT: frozenset[str] = frozenset(
    " ".join(
        (
            *(_INITIAL_VALUES, _DROPOUT, _UNREAD, _RECOMPUTING, _CODEC_TRAINING, _TRAINING),
            *(_DATA, _SAMPLING, _SCRIPT),
        )
    ).split()
)
"""Names that change nothing in what a trained model computes, whatever their value."""


def refuse_variants(hps: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raise ConfigError for a hyperparameter whose value this library does not compute."""
    for name, wanted in fixed.items():
        found = hps.get(name, wanted)
        # None is "no" to the original, whose switches are only ever tested for truth.
        if found != wanted and not (found is None and wanted is False):
            raise ConfigError(f"hyperparameter {name!r} is {found!r}: only {wanted!r} is supported")


def refuse_unknown(hps: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise ConfigError for names that are not `known`, nor in the tables of this file."""
    unknown = set(hps) - {*known, *VQVAE_FIXED, *PRIOR_FIXED, *WITHOUT_EFFECT}
    if unknown:
        raise ConfigError(
            f"not a hyperparameter of the original: {', '.join(sorted(map(str, unknown)))}. Leave "
            "out what does not change the numbers of the model"
        )
