"""Any model, part by part, into our own format: at most one prior is held at a time."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from jukebox_core.atomic_folders import new_directory
from jukebox_core.checkpoints.assemble import OpenedPart
from jukebox_core.checkpoints.huggingface import HuggingFaceDirectory
from jukebox_core.checkpoints.native import (
    VQVAE_FILE,
    open_native_prior,
    open_native_vqvae,
    prior_file,
    write_config,
    write_layout,
)
from jukebox_core.checkpoints.openai import open_openai_prior, open_openai_vqvae
from jukebox_core.checkpoints.origin import Origin, require_hashes
from jukebox_core.checkpoints.parts import prior_layout, vqvae_layout
from jukebox_core.checkpoints.tensor_files import StoredTensor
from jukebox_core.config import JukeboxConfig, LabelVersion, Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.models.catalog import (
    CONFIG_FILE,
    FORMAT,
    LABELS_FOLDER,
    read_config,
    read_config_and_weights,
    read_config_values,
    why_no_model,
)
from jukebox_core.models.released import ReleasedModel
from jukebox_core.units import COARSE_TO_FINE, Level

PARTS: tuple[Level | None, ...] = (None, *COARSE_TO_FINE)
"""A model in the order in which it is written; None stands for the VQ-VAE."""

WritingPart = Callable[[str], None]
"""Called with the name of each file before it is written."""


class WeightsSource(Protocol):
    """A model in whatever files, whose parts can be opened one by one, each of them once."""

    @property
    def config(self) -> JukeboxConfig:
        """The whole model's."""

    def open_vqvae(self) -> OpenedPart:
        """The tensors of the VQ-VAE. Raises CheckpointError."""

    def open_prior(self, level: Level) -> OpenedPart:
        """The tensors of one prior. Raises CheckpointError."""

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """The label lists; empty if there are none. Raises LabelError or ConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIFiles:
    """The original's checkpoints, one file per part; `labels_dir` holds its label lists."""

    config: JukeboxConfig
    vqvae: Path
    priors: Mapping[Level, Path]
    labels_dir: Path | None = None

    def open_vqvae(self) -> OpenedPart:
        """The tensors of the VQ-VAE."""
        return open_openai_vqvae(self.vqvae)

    def open_prior(self, level: Level) -> OpenedPart:
        """The tensors of one prior."""
        return open_openai_prior(self.priors[level], self.config.prior(level))

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """The lists in `labels_dir` that the priors need."""
        if self.labels_dir is None:
            return {}
        return JukeboxTokenizer.from_directory(self.labels_dir, self.config).vocabularies


@dataclass(frozen=True, slots=True)
class NativeDirectory:
    """A model of our own format."""

    directory: Path
    config: JukeboxConfig

    def open_vqvae(self) -> OpenedPart:
        """The tensors of the VQ-VAE."""
        return open_native_vqvae(self.directory)

    def open_prior(self, level: Level) -> OpenedPart:
        """The tensors of one prior."""
        return open_native_prior(self.directory, level)

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """The lists in `labels/`."""
        labels_dir = self.directory / LABELS_FOLDER
        if not labels_dir.is_dir():
            return {}
        return JukeboxTokenizer.from_directory(labels_dir, self.config).vocabularies


def open_directory(directory: Path) -> WeightsSource:
    """A model directory that tells what it is: our own, or one of transformers 4.

    Raises:
        CheckpointError: it is neither.
        ConfigError: its configuration is broken.
    """
    file = directory / CONFIG_FILE
    if not file.is_file():
        raise CheckpointError(why_no_model(directory))
    if read_config_values(file).get("format") == FORMAT:
        return NativeDirectory(directory, read_config(directory))
    return HuggingFaceDirectory(directory)


def open_openai_folder(
    folder: Path, model: ReleasedModel, labels_dir: Path | None = None
) -> OpenAIFiles:
    """A released model from the original's files: in their own tree below `folder`, or all in it.

    Raises:
        CheckpointError: a file is not there.
    """

    def find(path: str) -> Path:
        for file in (folder / path, folder / Path(path).name):
            if file.is_file():
                return file
        raise CheckpointError(f"{folder} has neither {path} nor {Path(path).name}")

    return OpenAIFiles(
        config=model.config,
        vqvae=find(model.vqvae_path),
        priors={level: find(path) for level, path in model.prior_paths.items()},
        labels_dir=labels_dir,
    )


def convert(
    source: WeightsSource,
    destination: Path,
    *,
    described_as: str,
    dtype: torch.dtype | None = None,
    weights: Weights | None = None,
    on_part: WritingPart | None = None,
) -> None:
    """Write `source` in our own format, all of it or nothing; a model that is there is replaced.

    Args:
        source: what to read.
        destination: the new model directory; its name is the model's.
        described_as: what `origin.json` calls the source.
        dtype: of the weights of the transformer stacks; None keeps the one they are stored in, or
            the half precision to which the original rounds them. Everything else is float32.
        weights: `INT8` makes those of the stacks int8; None keeps what they are.
        on_part: called before each part.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen, files are not there or are not
            what was written once, or int8 weights are to become others.
        LabelError: label lists are broken, or do not fit the priors.
    """
    if isinstance(source, NativeDirectory):
        require_hashes(source.directory)
    origin = Origin(source=described_as)
    with new_directory(destination) as unfinished:
        kept = weights or weights_of(source)
        write_config(unfinished, source.config, kept)
        vocabularies = source.read_vocabularies()
        if vocabularies:
            JukeboxTokenizer(vocabularies, source.config).save_vocabulary(unfinished)
        for part in PARTS:
            if on_part is not None:
                on_part(part_file(part))
            write_part(source, part, unfinished, dtype, kept)
            origin.add(unfinished / part_file(part))


def weights_of(source: WeightsSource) -> Weights:
    """How the weights of the priors are kept: only our own format has int8 ones."""
    if isinstance(source, NativeDirectory):
        return read_config_and_weights(source.directory)[1]
    return Weights.FULL


def write_part(
    source: WeightsSource,
    part: Level | None,
    directory: Path,
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> None:
    """Write one part into a directory that has a `config.json`, in one step, tensor by tensor.

    See `convert` for `dtype` and `weights`.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen.
    """
    file = directory / part_file(part)
    unfinished = file.with_name(f".{file.name}")
    opened = source.open_vqvae() if part is None else source.open_prior(part)
    if part is None:
        layout = vqvae_layout(source.config.vqvae, opened).state_dict()
    else:
        config = source.config.prior(part)
        layout = prior_layout(config, opened, dtype=dtype, weights=weights).state_dict()
        if weights is Weights.INT8:
            layout = _narrowed(layout, opened.tensors)

    def read(name: str) -> Tensor:
        return opened.tensors.pop(name).copy(layout[name].dtype)

    write_layout(unfinished, layout, read)
    os.replace(unfinished, file)


def _narrowed(
    layout: Mapping[str, Tensor], stored: Mapping[str, StoredTensor]
) -> dict[str, Tensor]:
    """The same layout with float16 in the place of float32 wherever that changes no number.

    So it is with all that comes from weights in half precision; they are float32 again in memory.
    """

    def is_exact_in_half(name: str) -> bool:
        weight = layout.get(f"{name.removesuffix('scale')}weight")
        if weight is not None and weight.dtype == torch.int8:
            return False  # a scale, which would have to be computed twice
        numbers = stored[name].copy(torch.float32)
        return torch.equal(numbers.half().float(), numbers)

    return {
        name: tensor.half() if tensor.dtype == torch.float32 and is_exact_in_half(name) else tensor
        for name, tensor in layout.items()
    }


def part_file(part: Level | None) -> str:
    """Name of the file of one part; None stands for the VQ-VAE."""
    return VQVAE_FILE if part is None else prior_file(part)
