"""Our own directories: `config.json`, one safetensors file per part, the label lists."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from jukebox_core.checkpoints.parts import LoadedParts, build_prior, build_vqvae
from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.checkpoints.tensor_writing import save_file
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import CheckpointError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import (
    CONFIG_FILE,
    FORMAT,
    FORMAT_VERSION,
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

    Weights keep their dtype. `priors` come in sampling order (top, middle, bottom).

    Raises:
        CheckpointError: a prior has int8 weights; what they were made from is what to keep.
    """
    if any(prior.has_int8_weights for prior in priors):
        raise CheckpointError(
            "int8 weights are not saved: load the model without them, and save it"
        )
    with new_directory(directory) as unfinished:
        write_config(unfinished, config)
        write_tensors(unfinished / VQVAE_FILE, vqvae.state_dict())
        for level, prior in zip(COARSE_TO_FINE, priors, strict=True):
            write_tensors(unfinished / prior_file(level), prior.state_dict())
        if tokenizer is not None:
            tokenizer.save_vocabulary(unfinished)


def write_config(directory: Path, config: JukeboxConfig) -> None:
    """Write `config.json` into a directory that is there."""
    values = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": config.to_dict()}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


def write_tensors(file: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of one part, in their dtypes, beside a `config.json` that is there."""
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    # safetensors writes for its owner only; a model is for whoever may read its configuration.
    shutil.copymode(file.with_name(CONFIG_FILE), file)


def load_native_vqvae(
    directory: Path, config: JukeboxConfig, *, device: torch.device | str
) -> JukeboxVQVAE:
    """The VQ-VAE of a model directory. Raises CheckpointError if the file does not fit."""
    file = directory / VQVAE_FILE
    return build_vqvae(config.vqvae, open_tensors(file), where=str(file), device=device)


def load_native_prior(
    directory: Path,
    config: JukeboxConfig,
    level: Level,
    *,
    device: torch.device | str,
    dtype: torch.dtype | None,
    for_file: bool = False,
) -> JukeboxPrior:
    """One prior of a model directory; see `build_prior` for `dtype` and `for_file`.

    Raises:
        CheckpointError: the file is not there, or does not fit.
    """
    file = directory / prior_file(level)
    return build_prior(
        config.prior(level),
        open_tensors(file),
        where=str(file),
        device=device,
        dtype=dtype,
        for_file=for_file,
    )


def load_native(
    directory: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> LoadedParts:
    """A whole model of our own format.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen, or files are not there.
        ConfigError: `config.json` is broken.
        LabelError: a label list that a prior needs is missing or broken.
    """
    config = read_config(directory)
    labels_dir = directory / LABELS_FOLDER
    has_labels = labels_dir.is_dir()
    top, middle, bottom = (
        load_native_prior(directory, config, level, device=device, dtype=dtype)
        for level in COARSE_TO_FINE
    )
    return LoadedParts(
        config=config,
        vqvae=load_native_vqvae(directory, config, device=device),
        priors=(top, middle, bottom),
        tokenizer=JukeboxTokenizer.from_pretrained(directory) if has_labels else None,
        labels_dir=labels_dir if has_labels else None,
    )


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """A temporary directory beside `directory` that takes its place at the end."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{directory.name}."
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=prefix) as workplace:
        unfinished = Path(workplace) / directory.name
        unfinished.mkdir()
        yield unfinished
        if directory.exists():
            # A directory cannot be renamed onto a full one; the old one goes with the workplace.
            os.rename(directory, Path(workplace) / "replaced")
        os.rename(unfinished, directory)
