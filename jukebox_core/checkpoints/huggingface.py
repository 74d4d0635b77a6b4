"""Directories written by transformers 4: configuration, weights in one file or many, labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from jukebox_core.checkpoints.assemble import OpenedPart, rename_tensors
from jukebox_core.checkpoints.huggingface_config import config_from_huggingface
from jukebox_core.checkpoints.names import (
    NameTable,
    layer_names,
    prior_translator,
    translator,
    untie,
    with_half_weights,
)
from jukebox_core.checkpoints.parts import LoadedParts, build_prior, build_vqvae
from jukebox_core.checkpoints.tensor_files import StoredTensor, open_tensors
from jukebox_core.config import JukeboxConfig, LabelVersion, Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.models.catalog import read_config_values
from jukebox_core.units import COARSE_TO_FINE, Level

_ENCODER = "encoders.{l}.level_blocks.{b}."
_DECODER = "decoders.{l}.level_blocks.{b}."
_OUR_ENCODER = "encoders.{l}.blocks.{b}."
_OUR_DECODER = "decoders.{l}.blocks.{b}."

VQVAE_NAMES: NameTable = (
    (_ENCODER + "downsample_block.{2s}.{end}", _OUR_ENCODER + "stages.{s}.downsample.{end}"),
    (
        _ENCODER + "downsample_block.{2s+1}.resnet_block.{d}.conv1d_1.{end}",
        _OUR_ENCODER + "stages.{s}.residuals.{d}.dilated.{end}",
    ),
    (
        _ENCODER + "downsample_block.{2s+1}.resnet_block.{d}.conv1d_2.{end}",
        _OUR_ENCODER + "stages.{s}.residuals.{d}.pointwise.{end}",
    ),
    (_ENCODER + "proj_out.{end}", _OUR_ENCODER + "output.{end}"),
    (_DECODER + "proj_in.{end}", _OUR_DECODER + "input.{end}"),
    (
        _DECODER + "upsample_block.{2s}.resnet_block.{d}.conv1d_1.{end}",
        _OUR_DECODER + "stages.{s}.residuals.{d}.dilated.{end}",
    ),
    (
        _DECODER + "upsample_block.{2s}.resnet_block.{d}.conv1d_2.{end}",
        _OUR_DECODER + "stages.{s}.residuals.{d}.pointwise.{end}",
    ),
    (_DECODER + "upsample_block.{2s+1}.{end}", _OUR_DECODER + "stages.{s}.upsample.{end}"),
    ("decoders.{l}.out.{end}", "decoders.{l}.output.{end}"),
    ("bottleneck.level_blocks.{l}.codebook", "codebooks.{l}.codes"),
)


_UPSAMPLER = "conditioner_blocks.upsampler."

PRIOR_NAMES: NameTable = (
    ("metadata_embedding.bow_genre_emb.weight", "labels.genre.weight"),
    ("metadata_embedding.artist_emb.weight", "labels.artist.weight"),
    ("metadata_embedding.total_length_emb.emb.weight", "labels.total_length.weight"),
    ("metadata_embedding.absolute_pos_emb.emb.weight", "labels.absolute_position.weight"),
    ("metadata_embedding.relative_pos_emb.emb.weight", "labels.relative_position.weight"),
    ("prior.embed_tokens.weight", "token_embedding.weight"),
    ("prior.pos_emb.pos_emb", "position_embedding"),
    ("prior.start_token", "start_token"),
    ("prior.fc_proj_out.weight", "logits.weight"),
    *layer_names("prior.", "", norm="layer_norm_"),
    ("encoder.start_token", "lyric_encoder.start_token"),
    ("encoder.embed_tokens.weight", "lyric_encoder.token_embedding.weight"),
    ("encoder.pos_emb.pos_emb", "lyric_encoder.position_embedding"),
    *layer_names("encoder.", "lyric_encoder.", norm="layer_norm_"),
    ("encoder.proj_in.{end}", "lyric_encoder.projection.{end}"),
    ("encoder.final_layer_norm.{end}", "lyric_encoder.norm.{end}"),
    ("encoder.lm_head.weight", "lyric_encoder.logits.weight"),
    ("conditioner_blocks.embed_tokens.weight", "conditioner.embedding.weight"),
    (_UPSAMPLER + "proj_in.{end}", "conditioner.input.{end}"),
    (
        _UPSAMPLER + "upsample_block.{2s}.resnet_block.{d}.conv1d_1.{end}",
        "conditioner.stages.{s}.blocks.{d}.dilated.{end}",
    ),
    (
        _UPSAMPLER + "upsample_block.{2s}.resnet_block.{d}.conv1d_2.{end}",
        "conditioner.stages.{s}.blocks.{d}.pointwise.{end}",
    ),
    (_UPSAMPLER + "upsample_block.{2s+1}.{end}", "conditioner.stages.{s}.upsample.{end}"),
    ("conditioner_blocks.layer_norm.{end}", "conditioner.norm.{end}"),
)

_PARTS = ("vqvae.", *(f"priors.{index}." for index in range(len(Level))))


def read_huggingface_config(directory: Path) -> JukeboxConfig:
    """The configuration of a directory written by transformers 4.

    Raises:
        ConfigError: a JSON file is broken, or asks for what this library does not compute.
    """
    versions = None
    if (directory / "tokenizer_config.json").is_file():
        versions = read_config_values(directory / "tokenizer_config.json").get("version")
    return config_from_huggingface(
        read_config_values(directory / "config.json"),
        cast("tuple[LabelVersion, ...] | None", None if versions is None else tuple(versions)),
    )


def read_huggingface_vocabularies(directory: Path) -> dict[LabelVersion, Vocabulary]:
    """The label lists of `artists.json` and `genres.json`; empty if they are not there.

    Both versions share one file: names of v2 end in `.v2`. `lyrics.json` says nothing new, since
    the alphabet goes with the version.

    Raises:
        ConfigError: a file is broken.
    """
    artists_file, genres_file = directory / "artists.json", directory / "genres.json"
    if not (artists_file.is_file() and genres_file.is_file()):
        return {}
    artists, genres = read_config_values(artists_file), read_config_values(genres_file)
    both: dict[LabelVersion, Vocabulary] = {
        "v2": Vocabulary("v2", _v2_names(artists), _v2_names(genres)),
        "v3": Vocabulary("v3", _v3_names(artists), _v3_names(genres)),
    }
    return {version: vocabulary for version, vocabulary in both.items() if vocabulary.artists}


class HuggingFaceDirectory:
    """One directory, opened: its parts can be loaded one by one, each of them once.

    `config` takes the place of the directory's own, which leaves out some of what the original
    says of a released model.

    Raises:
        CheckpointError: weights are missing, or belong to no part of a Jukebox.
    """

    def __init__(self, directory: Path, config: JukeboxConfig | None = None) -> None:
        self.directory = directory
        self.config = config or read_huggingface_config(directory)
        self._tensors = _open_shards(directory)
        strangers = [name for name in self._tensors if not name.startswith(_PARTS)]
        if strangers:
            raise CheckpointError(
                f"{directory} does not fit the model: unknown: {', '.join(strangers)}"
            )

    def open_vqvae(self) -> OpenedPart:
        """The tensors of the VQ-VAE."""
        stored, unknown = rename_tensors(self._take("vqvae."), translator(VQVAE_NAMES))
        return OpenedPart(stored, f"the VQ-VAE in {self.directory}", unknown)

    def open_prior(self, level: Level) -> OpenedPart:
        """The tensors of one prior. Raises CheckpointError where they contradict each other."""
        config = self.config.prior(level)
        tensors = self._take(f"priors.{COARSE_TO_FINE.index(level)}.")
        stored, unknown = rename_tensors(tensors, prior_translator(PRIOR_NAMES, config))
        where = f"the {level.label} prior in {self.directory}"
        untie(stored, config, where)
        halved = with_half_weights(stored) if config.half_weights else stored
        return OpenedPart(halved, where, unknown)

    def read_vocabularies(self) -> dict[LabelVersion, Vocabulary]:
        """The label lists; see `read_huggingface_vocabularies`."""
        return read_huggingface_vocabularies(self.directory)

    def _take(self, prefix: str) -> dict[str, StoredTensor]:
        """Hand over the tensors of one part, so that they are not kept here as well."""
        names = [name for name in self._tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._tensors.pop(name) for name in names}


def load_huggingface(
    directory: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    weights: Weights = Weights.FULL,
) -> LoadedParts:
    """A whole model from a directory written by `save_pretrained` of transformers 4.

    Raises:
        CheckpointError: tensors are unknown, missing or misshapen, or files are not there.
        ConfigError: the configuration asks for what this library does not compute.
    """
    opened = HuggingFaceDirectory(directory)
    vocabularies = read_huggingface_vocabularies(directory)
    top, middle, bottom = (
        build_prior(
            opened.config.prior(level),
            opened.open_prior(level),
            device=device,
            dtype=dtype,
            weights=weights,
        )
        for level in COARSE_TO_FINE
    )
    return LoadedParts(
        config=opened.config,
        vqvae=build_vqvae(opened.config.vqvae, opened.open_vqvae(), device=device),
        priors=(top, middle, bottom),
        tokenizer=JukeboxTokenizer(vocabularies, opened.config) if vocabularies else None,
    )


def _open_shards(directory: Path) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for file in _weights_files(directory):
        tensors.update(open_tensors(file))
    return tensors


def _weights_files(directory: Path) -> list[Path]:
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = directory / f"{stem}.{suffix}.index.json"
        if index.is_file():
            names = sorted(set(read_config_values(index).get("weight_map", {}).values()))
            # Only the name: an index must not lead out of its directory.
            return [directory / Path(name).name for name in names]
        files = sorted(directory.glob(f"{stem}*.{suffix}"))
        if files:
            return files
    raise CheckpointError(f"{directory} holds neither model*.safetensors nor pytorch_model*.bin")


def _v2_names(ids: Mapping[str, int]) -> dict[str, int]:
    return {name.removesuffix(".v2"): id_ for name, id_ in ids.items() if name.endswith(".v2")}


def _v3_names(ids: Mapping[str, int]) -> dict[str, int]:
    return {name: id_ for name, id_ in ids.items() if not name.endswith(".v2")}
