"""The original's checkpoints: `.pth.tar` files, one for each part.

Each is a `torch.save` of {"model": state dict, "hps", "step", ...}; the names in it may begin with
`module.` (`make_models.py` of the original strips it, too).
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from jukebox_core.checkpoints.assemble import OpenedPart, Rename, rename_tensors
from jukebox_core.checkpoints.names import (
    NameTable,
    layer_names,
    prior_translator,
    translator,
    untie,
    with_half_weights,
)
from jukebox_core.checkpoints.parts import LoadedParts, build_prior, build_vqvae
from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

_ENCODER = "encoders.{l}.level_blocks.{b}.model."
_DECODER = "decoders.{l}.level_blocks.{b}.model."
_OUR_ENCODER = "encoders.{l}.blocks.{b}."
_OUR_DECODER = "decoders.{l}.blocks.{b}."

VQVAE_NAMES: NameTable = (
    (_ENCODER + "{s}.0.{end}", _OUR_ENCODER + "stages.{s}.downsample.{end}"),
    (
        _ENCODER + "{s}.1.model.{d}.model.1.{end}",
        _OUR_ENCODER + "stages.{s}.residuals.{d}.dilated.{end}",
    ),
    (
        _ENCODER + "{s}.1.model.{d}.model.3.{end}",
        _OUR_ENCODER + "stages.{s}.residuals.{d}.pointwise.{end}",
    ),
    (_ENCODER + "{s}.{end}", _OUR_ENCODER + "output.{end}"),
    (_DECODER + "0.{end}", _OUR_DECODER + "input.{end}"),
    (
        _DECODER + "{s+1}.0.model.{d}.model.1.{end}",
        _OUR_DECODER + "stages.{s}.residuals.{d}.dilated.{end}",
    ),
    (
        _DECODER + "{s+1}.0.model.{d}.model.3.{end}",
        _OUR_DECODER + "stages.{s}.residuals.{d}.pointwise.{end}",
    ),
    (_DECODER + "{s+1}.1.{end}", _OUR_DECODER + "stages.{s}.upsample.{end}"),
    ("decoders.{l}.out.{end}", "decoders.{l}.output.{end}"),
    ("bottleneck.level_blocks.{l}.k", "codebooks.{l}.codes"),
)


# The released upsamplers were trained with gradient checkpointing in the conditioner, which is why
# its residual layers are named `blocks` where the VQ-VAE has `model`. Without (`cond_c_res` is 0)
# they are named alike.
_CONDITIONER = "conditioner_blocks.0.cond.model."
_UNCHECKPOINTED = re.compile(r"(conditioner_blocks\.0\.cond\.model\.\d+\.0\.)model\.")

PRIOR_NAMES: NameTable = (
    ("y_emb.bow_genre_emb.emb.weight", "labels.genre.weight"),
    ("y_emb.artist_emb.emb.weight", "labels.artist.weight"),
    ("y_emb.total_length_emb.emb.weight", "labels.total_length.weight"),
    ("y_emb.absolute_pos_emb.emb.weight", "labels.absolute_position.weight"),
    ("y_emb.relative_pos_emb.emb.weight", "labels.relative_position.weight"),
    ("prior.x_emb.weight", "token_embedding.weight"),
    ("prior.pos_emb.pos_emb", "position_embedding"),
    ("prior.start_token", "start_token"),
    ("prior.x_out.weight", "logits.weight"),
    *layer_names("prior.", "", norm="ln_"),
    ("prime_prior.start_token", "lyric_encoder.start_token"),
    ("prime_prior.x_emb.weight", "lyric_encoder.token_embedding.weight"),
    ("prime_prior.pos_emb.pos_emb", "lyric_encoder.position_embedding"),
    *layer_names("prime_prior.", "lyric_encoder.", norm="ln_"),
    ("prime_state_proj.{end}", "lyric_encoder.projection.{end}"),
    ("prime_state_ln.{end}", "lyric_encoder.norm.{end}"),
    ("prime_x_out.weight", "lyric_encoder.logits.weight"),
    ("conditioner_blocks.0.x_emb.weight", "conditioner.embedding.weight"),
    (_CONDITIONER + "0.{end}", "conditioner.input.{end}"),
    (
        _CONDITIONER + "{s+1}.0.blocks.{d}.model.1.{end}",
        "conditioner.stages.{s}.blocks.{d}.dilated.{end}",
    ),
    (
        _CONDITIONER + "{s+1}.0.blocks.{d}.model.3.{end}",
        "conditioner.stages.{s}.blocks.{d}.pointwise.{end}",
    ),
    (_CONDITIONER + "{s+1}.1.{end}", "conditioner.stages.{s}.upsample.{end}"),
    ("conditioner_blocks.0.ln.{end}", "conditioner.norm.{end}"),
)


def open_openai_vqvae(path: Path) -> OpenedPart:
    """The tensors of a `vqvae.pth.tar`. Raises CheckpointError if it is no checkpoint."""
    stored, unknown = rename_tensors(open_tensors(path), _without_module(translator(VQVAE_NAMES)))
    return OpenedPart(stored, str(path), unknown)


def open_openai_prior(path: Path, config: JukeboxPriorConfig) -> OpenedPart:
    """The tensors of a `prior_level_*.pth.tar`.

    Weights that the original rounds to half are rounded, however they are stored.

    Raises:
        CheckpointError: the file is no checkpoint, or does not fit `config`.
    """
    translate = prior_translator(PRIOR_NAMES, config)
    rename = _without_module(lambda name: translate(_UNCHECKPOINTED.sub(r"\1blocks.", name)))
    stored, unknown = rename_tensors(open_tensors(path), rename)
    untie(stored, config, str(path))
    halved = with_half_weights(stored) if config.half_weights else stored
    return OpenedPart(halved, str(path), unknown)


def load_openai_vqvae(
    path: Path, config: JukeboxVQVAEConfig, *, device: torch.device | str = "cpu"
) -> JukeboxVQVAE:
    """The VQ-VAE of a `vqvae.pth.tar`, in float32.

    Raises:
        CheckpointError: the file is no checkpoint, or does not fit `config`.
    """
    return build_vqvae(config, open_openai_vqvae(path), device=device)


def load_openai_prior(
    path: Path,
    config: JukeboxPriorConfig,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> JukeboxPrior:
    """The prior of a `prior_level_*.pth.tar`; see `build_prior` for `dtype`.

    Raises:
        CheckpointError: the file is no checkpoint, or does not fit `config`.
    """
    return build_prior(config, open_openai_prior(path, config), device=device, dtype=dtype)


def load_openai(
    config: JukeboxConfig,
    *,
    vqvae: Path,
    priors: Mapping[Level, Path],
    labels_dir: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> LoadedParts:
    """A whole model from the original's files; `labels_dir` holds its label lists.

    Raises:
        CheckpointError: a file is no checkpoint, or does not fit `config`.
        LabelError: a label list that a prior needs is missing or broken.
    """
    tokenizer = None
    if labels_dir is not None:
        tokenizer = JukeboxTokenizer.from_directory(labels_dir, config)
    top, middle, bottom = (
        load_openai_prior(priors[level], config.prior(level), device=device, dtype=dtype)
        for level in COARSE_TO_FINE
    )
    return LoadedParts(
        config=config,
        vqvae=load_openai_vqvae(vqvae, config.vqvae, device=device),
        priors=(top, middle, bottom),
        tokenizer=tokenizer,
        labels_dir=labels_dir,
    )


def _without_module(translate: Rename) -> Rename:
    return lambda name: translate(name.removeprefix("module."))
