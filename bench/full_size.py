"""Random weights of released size as a model directory: real shapes, lists and files, no music.

`python -m bench.full_size DIRECTORY`. For measurements of everything around a released model where
nobody has its weights. One part is held at a time, in the precision of its file.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.priors import fill
from jukebox_core.checkpoints.convert import convert
from jukebox_core.config import JukeboxConfig, LabelVersion
from jukebox_core.labels import Vocabulary
from jukebox_core.models.released import RELEASED_MODELS, released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

_META = torch.device("meta")
_DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class RandomWeights:
    """A model of `config` with random weights, the same ones every time, made part by part."""

    config: JukeboxConfig

    def load_vqvae(self, *, device: torch.device | str) -> JukeboxVQVAE:
        """The VQ-VAE, float32, as it is before training."""
        torch.manual_seed(7)
        return JukeboxVQVAE(self.config.vqvae).to(device).eval()

    def load_prior(
        self,
        level: Level,
        *,
        device: torch.device | str,
        dtype: torch.dtype | None,
        for_file: bool = False,
    ) -> JukeboxPrior:
        """One prior, its stacks in `dtype` (None: float32), see `build_prior`."""
        dtype = dtype or torch.float32
        with _META:
            prior = JukeboxPrior(self.config.prior(level))
        if for_file:
            prior.set_weight_dtype(dtype)
        else:
            prior.set_compute_dtype(dtype)
        prior = prior.to_empty(device=device).eval()
        fill(prior)
        return prior

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one directory; one that is there is replaced."""
    parser = argparse.ArgumentParser(prog="python -m bench.full_size", description=__doc__)
    parser.add_argument("directory", type=Path, help="its name becomes the name of the model")
    parser.add_argument("--model", choices=RELEASED_MODELS, default="1b_lyrics", help="its size")
    parser.add_argument("--precision", choices=_DTYPES, default="fp16", help="of the stacks")
    options = parser.parse_args(arguments)
    convert(
        RandomWeights(released_config(options.model)),
        options.directory,
        described_as=f"random weights of the size of {options.model}",
        dtype=_DTYPES[options.precision],
        on_part=lambda name: print(name, flush=True),
    )


if __name__ == "__main__":
    main()
