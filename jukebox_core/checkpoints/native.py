"""Our own directories: `config.json`, one safetensors file per part, the label lists."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jukebox_core.atomic_folders import new_directory
from jukebox_core.checkpoints.assemble import OpenedPart
from jukebox_core.checkpoints.parts import LoadedParts, build_prior, build_vqvae
from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.checkpoints.tensor_writing import write_safetensors
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import (
    CONFIG_FILE,
    FORMAT,
    FORMAT_VERSION,
    INT8_FORMAT_VERSION,
    LABELS_FOLDER,
    read_config,
)
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

VQVAE_FILE = "vqvae.safetensors"


def prior_file(level: Level) -> str:
    """Name of the file of one prior, e.g. `prior_top.safetensors`."""
    return f"prior_{level.label}.safetensors"


def save_directory(
    directory: Path,
    config: JukeboxConfig,
    vqvae: JukeboxVQVAE,
    priors: Sequence[JukeboxPrior],
    tokenizer: JukeboxTokenizer | None = None,
) -> None:
    """Write a model directory, all of it or nothing; one that is there already is replaced.

    Weights keep their dtype, int8 ones too. `priors` come in sampling order (top, middle, bottom).

    Raises:
        CheckpointError: some of the priors have int8 weights, and others have not.
    """
    kinds = {Weights.INT8 if prior.has_int8_weights else Weights.FULL for prior in priors}
    if len(kinds) > 1:
        raise CheckpointError("some of the priors have int8 weights: all or none may have them")
    with new_directory(directory) as unfinished:
        write_config(unfinished, config, kinds.pop())
        write_tensors(unfinished / VQVAE_FILE, vqvae.state_dict())
        for level, prior in zip(COARSE_TO_FINE, priors, strict=True):
            write_tensors(unfinished / prior_file(level), prior.state_dict())
        if tokenizer is not None:
            tokenizer.save_vocabulary(unfinished)


def write_config(directory: Path, config: JukeboxConfig, weights: Weights = Weights.FULL) -> None:
    """Write `config.json` into a directory that is there; `weights` are those of its priors."""
    values: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    if weights is not Weights.FULL:
        values |= {"format_version": INT8_FORMAT_VERSION, "weights": weights}
    values["config"] = config.to_dict()
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


def write_tensors(file: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of one part, in their dtypes, beside a `config.json` that is there."""
    write_layout(file, weights, weights.__getitem__)


def write_layout(file: Path, layout: Mapping[str, Tensor], read: Callable[[str], Tensor]) -> None:
    """Write one part, tensor by tensor, beside a `config.json` that is there.

    Args:
        file: the safetensors file.
        layout: the shape and the dtype of each tensor; may be on the meta device.
        read: gives the tensor of a name, once.
    """
    write_safetensors(file, layout, read)
    # A model is for whoever may read its configuration.
    shutil.copymode(file.with_name(CONFIG_FILE), file)


def open_native_vqvae(directory: Path) -> OpenedPart:
    """The tensors of the VQ-VAE of a model directory. Raises CheckpointError without the file."""
    file = directory / VQVAE_FILE
    return OpenedPart(open_tensors(file), str(file))


def open_native_prior(directory: Path, level: Level) -> OpenedPart:
    """The tensors of one prior of a model directory. Raises CheckpointError without the file."""
    file = directory / prior_file(level)
    return OpenedPart(open_tensors(file), str(file))


def load_native(
    directory: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> LoadedParts:
    """A whole model of our own format; see `build_prior` for `dtype` and `weights`.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen, or files are not there.
        ConfigError: `config.json` is broken.
        LabelError: a label list that a prior needs is missing or broken.
    """
    config = read_config(directory)
    labels_dir = directory / LABELS_FOLDER
    has_labels = labels_dir.is_dir()
    top, middle, bottom = (
        build_prior(
            config.prior(level),
            open_native_prior(directory, level),
            device=device,
            dtype=dtype,
            weights=weights,
        )
        for level in COARSE_TO_FINE
    )
    return LoadedParts(
        config=config,
        vqvae=build_vqvae(config.vqvae, open_native_vqvae(directory), device=device),
        priors=(top, middle, bottom),
        tokenizer=JukeboxTokenizer.from_pretrained(directory) if has_labels else None,
        labels_dir=labels_dir if has_labels else None,
    )
