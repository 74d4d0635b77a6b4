"""`tiny`: a small random model, made on the spot, so that everything runs before anything is
trained or downloaded.

It has all the parts of a real Jukebox (three levels, lyrics through an encoder, both label
versions) and sings noise. `python -m jukebox_core.tiny models/tiny` writes it.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from jukebox_core.checkpoints import save_directory
from jukebox_core.checkpoints.native import VQVAE_FILE, prior_file
from jukebox_core.config import (
    AttentionKind,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
    LabelConfig,
    LabelVersion,
    LyricConfig,
    TransformerConfig,
)
from jukebox_core.config.small import prior_over
from jukebox_core.errors import ConfigError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.models.catalog import read_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

LOUDNESS_RMS = 0.1
"""Root mean square of the noise; its peaks stay well below full scale."""

_CODEC = JukeboxVQVAEConfig(
    sample_rate_hz=16_000,
    downs=(2, 1, 1),
    strides=(4, 4, 4),
    num_codes=256,
    embedding_width=16,
    width=8,
    depth=2,
)

_CONTEXT_TOKENS = {Level.TOP: 256, Level.MIDDLE: 256, Level.BOTTOM: 512}
_LAYERS = {
    Level.TOP: (
        AttentionKind.ROW,
        AttentionKind.COLUMN,
        AttentionKind.PREVIOUS_ROW,
        AttentionKind.LYRIC_ENCODER,
    ),
    Level.MIDDLE: (AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW),
    Level.BOTTOM: (AttentionKind.ROW, AttentionKind.PREVIOUS_ROW),
}
_VERSIONS: dict[Level, LabelVersion] = {
    Level.TOP: "v3",
    Level.MIDDLE: "v2",
    Level.BOTTOM: "v2",
}
_MAX_GENRES: dict[LabelVersion, int] = {"v2": 5, "v3": 1}

# Invented for this model. v3 knows whole names, v2 the words of a genre.
_ARTISTS = (
    "unknown",
    "aunt modulo",
    "brother bitcrush",
    "grandmother clock",
    "mx zero",
    "null island choir",
    "the lost packets",
    "the sawtooths",
    "two thirds of a trio",
)
_GENRES: dict[LabelVersion, tuple[str, ...]] = {
    "v2": ("unknown", "drone", "hum", "lullaby", "march", "noise", "polka", "shanty", "waltz"),
    "v3": (
        "unknown",
        "drone",
        "hum",
        "lullaby",
        "march",
        "noise",
        "polka",
        "sea shanty",
        "slow waltz",
    ),
}

_LYRICS = LyricConfig(
    num_tokens=64,
    num_characters=79,
    loss_weight=0.4,
    encoder=TransformerConfig(
        width=32,
        layers=(AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW),
        num_heads=2,
        num_blocks=8,
        context_tokens=64,
    ),
    alignment_layer=3,
    alignment_head=1,
)


def tiny_config(seed: int = 0) -> JukeboxConfig:
    """The configuration of the model that `write_tiny` writes with the same seed."""
    top, middle, bottom = (_prior_config(level) for level in COARSE_TO_FINE)
    return JukeboxConfig(
        vqvae=_CODEC,
        priors=(top, middle, bottom),
        name="tiny",
        description=f"A small random model that sings noise, for first steps and tests ({seed=}).",
        licence="Apache-2.0",
    )


def _prior_config(level: Level) -> JukeboxPriorConfig:
    version = _VERSIONS[level]
    return prior_over(
        _CODEC,
        level,
        transformer=TransformerConfig(
            width=64,
            layers=_LAYERS[level],
            num_heads=2,
            num_blocks=16,
            context_tokens=_CONTEXT_TOKENS[level],
        ),
        labels=LabelConfig(
            version=version,
            num_genres=len(_GENRES[version]),
            num_artists=len(_ARTISTS),
            max_genres=_MAX_GENRES[version],
            num_time_bins=32,
            min_duration_sec=1.0,
            max_duration_sec=600.0,
        ),
        lyrics=_LYRICS,
        conditioner_width=16,
        conditioner_cycle=2,
    )


def write_tiny(directory: Path, seed: int = 0) -> Path:
    """Write the model into `directory` and return it; does nothing if it is there already.

    The directory appears whole or not at all.
    """
    config = tiny_config(seed)
    if _is_written(directory, config):
        return directory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vqvae = _random_vqvae(config.vqvae)
        priors = [_random_prior(config.prior(level)) for level in COARSE_TO_FINE]
    try:
        save_directory(directory, config, vqvae, priors, _tokenizer(config))
    except OSError:
        # Somebody else may have written the same at the same moment.
        if not _is_written(directory, config):
            raise
    return directory


def _is_written(directory: Path, config: JukeboxConfig) -> bool:
    files = (VQVAE_FILE, *(prior_file(level) for level in COARSE_TO_FINE))
    try:
        return read_config(directory) == config and all(
            (directory / file).is_file() for file in files
        )
    except ConfigError:
        return False


def _tokenizer(config: JukeboxConfig) -> JukeboxTokenizer:
    artists = {name: id_ for id_, name in enumerate(_ARTISTS)}
    genres = {
        version: {name: id_ for id_, name in enumerate(names)} for version, names in _GENRES.items()
    }
    underscored = {name.replace(" ", "_"): id_ for name, id_ in artists.items()}
    vocabularies: dict[LabelVersion, Vocabulary] = {
        "v2": Vocabulary("v2", underscored, genres["v2"]),
        "v3": Vocabulary("v3", artists, genres["v3"]),
    }
    return JukeboxTokenizer(vocabularies, config)


def _random_prior(config: JukeboxPriorConfig) -> JukeboxPrior:
    """A prior whose logits spread over about 2, so that what it is told changes what it draws."""
    prior = JukeboxPrior(config)
    with torch.no_grad():
        for name, parameter in prior.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 2:
                parameter.normal_(std=_std(name, parameter))
    return prior.eval()


def _std(name: str, parameter: Tensor) -> float:
    if "embedding" in name or name.startswith("labels"):
        # A tied prior likes to repeat a token by its squared length: keep that near 1.
        return 0.15
    fan_in = parameter.shape[1] if "logits" in name else parameter.shape[0]
    return float(fan_in**-0.5)


def _random_vqvae(config: JukeboxVQVAEConfig) -> JukeboxVQVAE:
    """A VQ-VAE whose decoders give noise of `LOUDNESS_RMS` around zero for random codes."""
    vqvae = JukeboxVQVAE(config).eval()
    for level in Level:
        codes = torch.randint(config.num_codes, (1, 4096))
        audio = vqvae.decode([codes], start_level=level)
        output = vqvae.decoders[level].get_submodule("output")
        if not isinstance(output, nn.Conv1d) or output.bias is None:  # for the type checker
            raise TypeError(f"the decoder of level {level} ends in a {type(output).__name__}")
        gain = LOUDNESS_RMS / audio.std()
        with torch.no_grad():
            output.weight.mul_(gain)
            output.bias.copy_((output.bias - audio.mean()) * gain)
    return vqvae


def main() -> None:
    """Write the model into the directory named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m jukebox_core.tiny", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.stdout.write(f"{write_tiny(arguments.directory, arguments.seed)}\n")


if __name__ == "__main__":
    main()
