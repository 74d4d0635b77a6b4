"""Random weights of released size as a model directory: real shapes, lists and files, no music.

For measurements of everything around a released model where nobody has its weights. One tensor is
held at a time.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench.report import Figures
from jukebox_core.checkpoints.assemble import OpenedPart
from jukebox_core.checkpoints.convert import convert, write_part
from jukebox_core.checkpoints.native import write_config
from jukebox_core.checkpoints.tensor_files import StoredTensor
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelVersion, Weights
from jukebox_core.labels import Vocabulary
from jukebox_core.meta_modules import without_weights
from jukebox_core.models.released import RELEASED_MODELS, released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.projection import INIT_STD
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

_DTYPES = {"fp16": torch.float16, "fp32": torch.float32, "int8": None}


@dataclass(frozen=True, slots=True)
class RandomWeights:
    """A model of `config` with random weights, the same ones every time, made tensor by tensor."""

    config: JukeboxConfig

    def open_vqvae(self) -> OpenedPart:
        """The VQ-VAE, float32, as it is before training."""
        torch.manual_seed(7)
        weights = JukeboxVQVAE(self.config.vqvae).state_dict()
        stored = {name: _made_by(tensor.clone, tensor) for name, tensor in weights.items()}
        return OpenedPart(stored, "random weights")

    def open_prior(self, level: Level) -> OpenedPart:
        """One prior, float32: random matrices, norms that scale by one, and no biases."""
        with without_weights():
            layout = JukeboxPrior(self.config.prior(level)).state_dict()
        stored = {
            name: _made_by(partial(_random, name, tensor.shape, 10 * seed + level), tensor)
            for seed, (name, tensor) in enumerate(layout.items())
        }
        return OpenedPart(stored, "random weights")

    def read_vocabularies(self) -> Mapping[LabelVersion, Vocabulary]:
        """As many names as the priors have embeddings for: `artist1`, `genre1` and so on."""
        found: dict[LabelVersion, Vocabulary] = {}
        for prior in self.config.priors:
            labels = prior.labels
            if labels is not None:
                artists = {f"artist{id_}": id_ for id_ in range(1, labels.num_artists)}
                genres = {f"genre{id_}": id_ for id_ in range(1, labels.num_genres)}
                found[labels.version] = Vocabulary(
                    labels.version, {"unknown": 0} | artists, {"unknown": 0} | genres
                )
        return found


def _made_by(read: Callable[[], Tensor], like: Tensor) -> StoredTensor:
    return StoredTensor(tuple(like.shape), like.dtype, read, read)


def _random(name: str, shape: torch.Size, seed: int) -> Tensor:
    if len(shape) == 1:
        return torch.full(shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul_(INIT_STD)


def with_layers(config: JukeboxConfig, num_layers: int | None) -> JukeboxConfig:
    """The same with the first `num_layers` of each prior's stack; None keeps all."""
    if num_layers is None:
        return config

    def smaller(prior: JukeboxPriorConfig) -> JukeboxPriorConfig:
        stack = replace(prior.transformer, layers=prior.transformer.layers[:num_layers])
        lyrics = None if prior.lyrics is None else replace(prior.lyrics, alignment_layer=None)
        return replace(prior, transformer=stack, lyrics=lyrics)

    top, middle, bottom = map(smaller, config.priors)
    return replace(config, priors=(top, middle, bottom))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and where."""
    parser.add_argument("directory", type=Path, help="its name becomes the name of the model")
    parser.add_argument("--model", choices=RELEASED_MODELS, default="1b_lyrics", help="its size")
    parser.add_argument("--precision", choices=_DTYPES, default="fp16", help="of the stacks")
    parser.add_argument("--layers", type=int, help="only so many of each stack, for a quick try")
    parser.add_argument(
        "--level", choices=[level.label for level in Level], help="write this prior alone"
    )


def measure(options: argparse.Namespace) -> Figures:
    """Write one directory; one that is there is replaced."""
    source = RandomWeights(with_layers(released_config(options.model), options.layers))
    weights = Weights.INT8 if options.precision == "int8" else Weights.FULL
    if options.level is not None:
        options.directory.mkdir(parents=True, exist_ok=True)
        write_config(options.directory, source.config, weights)
        level = Level.from_label(options.level)
        write_part(source, level, options.directory, _DTYPES[options.precision], weights)
    else:
        convert(
            source,
            options.directory,
            described_as=f"random weights of the size of {options.model}",
            dtype=_DTYPES[options.precision],
            weights=weights,
            on_part=lambda name: print(name, flush=True),
        )
    return {"written": options.directory.name}
