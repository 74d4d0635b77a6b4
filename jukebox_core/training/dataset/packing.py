"""A trained model in half the space, to be handed on."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from jukebox_core.atomic_folders import new_directory
from jukebox_core.checkpoints.native import (
    VQVAE_FILE,
    prior_file,
    write_config,
    write_tensors,
)
from jukebox_core.config import Weights
from jukebox_core.errors import TrainingError
from jukebox_core.models.catalog import LABELS_FOLDER, read_config_and_weights
from jukebox_core.training.dataset.new_model import refuse_existing
from jukebox_core.units import COARSE_TO_FINE


@dataclass(frozen=True, slots=True)
class PackedModel:
    """Bytes of the weights before and after, and the largest change of a weight."""

    bytes_before: int
    bytes_after: int
    largest_change: float


def pack_model(model_dir: Path, destination: Path) -> PackedModel:
    """Write a copy of a model whose weights are all kept as 16-bit floating-point numbers.

    It is called as the last part of `destination`.

    Models are computed as before: what is float32 by rule is float32 again when it is loaded.
    `models convert --dtype float16` halves the transformers alone, for the memory of a GPU.

    Raises:
        TrainingError: `destination` is there, a weight is too large for 16 bits, or the model has
            int8 weights, which are smaller.
        ConfigError: `model_dir` is no model of our own format.
    """
    refuse_existing(destination)
    config, weights = read_config_and_weights(model_dir)
    if weights is not Weights.FULL:
        raise TrainingError(f"{model_dir} has {weights} weights: it is packed already")
    config = replace(config, name=destination.name)
    files = (VQVAE_FILE, *(prior_file(level) for level in COARSE_TO_FINE))
    largest_change = 0.0
    with new_directory(destination) as unfinished:
        write_config(unfinished, config)
        if (model_dir / LABELS_FOLDER).is_dir():
            shutil.copytree(model_dir / LABELS_FOLDER, unfinished / LABELS_FOLDER)
        for file in files:
            tensors = load_file(model_dir / file)
            packed = {name: _halved(tensor, file, name) for name, tensor in tensors.items()}
            changes = [_change(tensors[name], packed[name]) for name in tensors]
            largest_change = max(largest_change, *changes)
            write_tensors(unfinished / file, packed)
    return PackedModel(
        bytes_before=sum((model_dir / file).stat().st_size for file in files),
        bytes_after=sum((destination / file).stat().st_size for file in files),
        largest_change=largest_change,
    )


def _halved(tensor: Tensor, file: str, name: str) -> Tensor:
    halved = tensor.to(torch.float16)
    if not torch.isfinite(halved).all():
        raise TrainingError(f"{name} of {file} has a number that does not fit into 16 bits")
    return halved


def _change(before: Tensor, after: Tensor) -> float:
    return float((before.float() - after.float()).abs().max()) if before.numel() else 0.0
