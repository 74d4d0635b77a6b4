"""Loading a model directory, whoever wrote it."""

from pathlib import Path

import torch

from jukebox_core.checkpoints.convert import NativeDirectory, WeightsSource
from jukebox_core.checkpoints.huggingface import (
    HuggingFaceDirectory,
    load_huggingface,
    read_huggingface_config,
)
from jukebox_core.checkpoints.native import load_native
from jukebox_core.checkpoints.parts import LoadedParts, build_prior, build_vqvae
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.models.catalog import (
    CONFIG_FILE,
    FORMAT,
    locate_model,
    read_config,
    read_config_and_weights,
    read_config_values,
    why_no_model,
)
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE


def read_directory_config(directory: Path | str) -> JukeboxConfig:
    """The configuration of a model directory of either format; or of a bundled model, by its name.

    Raises:
        CheckpointError: it is no model directory.
        ConfigError: the configuration is broken or not supported.
    """
    directory = locate_model(directory)
    return read_config(directory) if _is_native(directory) else read_huggingface_config(directory)


def stored_weights(directory: Path | str) -> Weights:
    """How a model directory keeps the weights of its stacks. Raises as `read_directory_config`."""
    directory = locate_model(directory)
    return read_config_and_weights(directory)[1] if _is_native(directory) else Weights.FULL


def load_directory(
    directory: Path | str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> LoadedParts:
    """A whole model, from our own format or that of transformers 4.

    Args:
        directory: holds a `config.json`; or the name of a bundled model ("mini").
        device: where the weights go; on the CPU they stay mapped from the files where they can.
        dtype: of the transformer stacks; None keeps the one they are stored in. Everything around
            them is float32 always.
        weights: `INT8` makes those of the stacks int8, one by one; what is stored so stays so.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen, or files are not there.
        ConfigError: the configuration is broken or not supported.
        LabelError: label lists are broken.
    """
    directory = locate_model(directory)
    if _is_native(directory):
        return load_native(directory, device=device, dtype=dtype, weights=weights)
    return load_huggingface(directory, device=device, dtype=dtype, weights=weights)


def load_prior_of(
    directory: Path | str,
    level: Level,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> JukeboxPrior:
    """One prior of a model directory, for a process that serves one level; as `load_directory`."""
    source = _open(locate_model(directory))
    return build_prior(
        source.config.prior(level),
        source.open_prior(level),
        device=device,
        dtype=dtype,
        weights=weights,
    )


def load_vqvae_of(directory: Path | str, *, device: torch.device | str = "cpu") -> JukeboxVQVAE:
    """The VQ-VAE of a model directory, in float32; as `load_directory`."""
    source = _open(locate_model(directory))
    return build_vqvae(source.config.vqvae, source.open_vqvae(), device=device)


def _open(directory: Path) -> WeightsSource:
    if _is_native(directory):
        return NativeDirectory(directory, read_config(directory))
    return HuggingFaceDirectory(directory)


def _is_native(directory: Path) -> bool:
    """Whether `config.json` is ours; False for transformers'. Raises CheckpointError for others."""
    file = directory / CONFIG_FILE
    if not file.is_file():
        raise CheckpointError(why_no_model(directory))
    values = read_config_values(file)
    if values.get("format") == FORMAT:
        return True
    if values.get("model_type") == "jukebox":
        return False
    raise CheckpointError(
        f'{file} is neither ours ("format": "{FORMAT}") nor of transformers '
        '("model_type": "jukebox")'
    )
