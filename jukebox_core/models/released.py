"""The released models as data: hyperparameters (`hparams.py` of the original), files, terms.

The weights themselves are OpenAI's, under a noncommercial license, and are not part of this
project; neither are the lists of artists and genres.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import ConfigError, ModelNotFound
from jukebox_core.units import Level

_VQVAE: Mapping[str, Any] = {
    "levels": 3,
    "downs_t": (3, 2, 2),
    "strides_t": (2, 2, 2),
    "emb_width": 64,
    "l_bins": 2048,
    "width": 32,
    "depth": 4,
    "m_conv": 1.0,
    "dilation_growth_rate": 3,
    "hvqvae_multipliers": (2, 1, 1),
    "l_mu": 0.99,
    "commit": 0.02,
    "spectral": 0.0,
    "multispectral": 1.0,
}

_V2_LABELS: Mapping[str, Any] = {
    "labels": True,
    "y_bins": (120, 4111),
    "t_bins": 128,
    "max_bow_genre_size": 5,
    "max_duration": 600.0,
}

_UPSAMPLER: Mapping[str, Any] = {
    **_V2_LABELS,
    "n_ctx": 8192,
    "prior_width": 1920,
    "prior_depth": 72,
    "heads": 1,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.4,
    "cond_width": 1024,
    "cond_depth": 16,
    "cond_dilation_growth_rate": 3,
    "cond_dilation_cycle": 8,
    # Upsamplers embed no time, so these bound nothing but what the original's sampler accepts.
    "min_duration": 1.0,
}

_UPSAMPLERS: tuple[Mapping[str, Any], ...] = (
    {**_UPSAMPLER, "level": 1, "cond_res_scale": True},
    {**_UPSAMPLER, "level": 0, "cond_res_scale": False},
)

_5B: Mapping[str, Any] = {
    **_V2_LABELS,
    "level": 2,
    "n_ctx": 8192,
    "prior_width": 4800,
    "prior_depth": 72,
    "heads": 8,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.1,
    "min_duration": 60.0,
    "merged_decoder": True,
    "fp16_params": True,
}

_TOPS: Mapping[str, Mapping[str, Any]] = {
    "5b": _5B,
    "5b_lyrics": {
        **_5B,
        "prior_depth": 79,
        "attn_order": 10,
        "min_duration": 23.8,
        "use_tokens": True,
        "n_tokens": 512,
        "n_vocab": 80,
        "prime_loss_fraction": 0.4,
        "prime_width": 1280,
        "prime_depth": 18,
        "prime_heads": 4,
        "prime_attn_order": 2,
        "prime_blocks": 32,
        "prime_init_scale": 0.7,
        "alignment_layer": 68,
        "alignment_head": 2,
    },
    "1b_lyrics": {
        "level": 2,
        "labels": True,
        "labels_v3": True,
        "y_bins": (604, 7898),
        "t_bins": 64,
        "max_bow_genre_size": 1,
        "min_duration": 17.84,
        "max_duration": 600.0,
        "n_ctx": 6144,
        "prior_width": 2048,
        "prior_depth": 72,
        "heads": 2,
        "attn_order": 12,
        "blocks": 64,
        "init_scale": 0.2,
        "use_tokens": True,
        "n_tokens": 384,
        "n_vocab": 79,
        "prime_loss_fraction": 0.4,
        "single_enc_dec": True,
        "alignment_layer": 63,
        "alignment_head": 0,
    },
}

RELEASED_MODELS: tuple[str, ...] = tuple(_TOPS)
"""Names of the models that OpenAI released."""


LICENCE = "OpenAI Noncommercial Use License"
LICENCE_URL = "https://github.com/openai/jukebox/blob/master/LICENSE"

WEIGHTS_URL = "https://openaipublic.azureedge.net/jukebox/models/"
"""Where the original's checkpoints were published; mirrors keep the paths below it."""

LABELS_URL = "https://raw.githubusercontent.com/openai/jukebox/master/jukebox/data/ids/"
"""Where the lists of artists and genres are published, in the original's repository."""

LABEL_FILES: Mapping[str, str] = {
    "v2_artist_ids.txt": "fce2ecc0c7b00838cf8cc90273609c5460fa1ec8d3211ce9f6546ed792feb001",
    "v2_genre_ids.txt": "04d7c5e5f0002c74789ee2a72a1e33f11057eb6c183ed0cf8f4b140164197e48",
    "v3_artist_ids.txt": "85ab98ca035945a917ec3d3e1f06bcd938767196281cfb8caecf058872a9e9ed",
    "v3_genre_ids.txt": "f85f72dca1e6052da129041bb927e29eb143e5f1450951006565f4a8af6f31cb",
}
"""The lists, with the SHA-256 of each: the repository is archived, so they will not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedModel:
    """A model that can be fetched by name.

    Attributes:
        name: what it is called in commands and requests.
        config: its architecture, description and terms.
        vqvae_path: of the VQ-VAE's checkpoint, below the address of the weights.
        prior_paths: of the priors' checkpoints; all models share the upsamplers.
        hub_repository: its port for transformers 4, if one was made.
        num_bytes: of all weights, in the types in which the original loads them.
        label_hashes: SHA-256 of the label lists where they are known, by name.
    """

    name: str
    config: JukeboxConfig
    vqvae_path: str
    prior_paths: Mapping[Level, str]
    hub_repository: str | None
    num_bytes: int
    label_hashes: Mapping[str, str] = field(default_factory=lambda: LABEL_FILES)

    @classmethod
    def of_original_files(cls, config: JukeboxConfig) -> "ReleasedModel":
        """Somebody's own model in the original's formats, its five files in one folder."""
        return cls(
            name=config.name,
            config=config,
            vqvae_path="vqvae.pth.tar",
            prior_paths={level: f"prior_level_{int(level)}.pth.tar" for level in Level},
            hub_repository=None,
            num_bytes=0,
            label_hashes={},
        )

    @property
    def label_files(self) -> tuple[str, ...]:
        """Names of the label lists that its priors were trained with."""
        return tuple(
            f"{version}_{kind}_ids.txt"
            for version in self.config.label_versions
            for kind in _LABEL_KINDS
        )


_LABEL_KINDS = ("artist", "genre")

_DESCRIPTIONS: Mapping[str, str] = {
    "5b": "OpenAI's largest top prior without lyrics (2020)",
    "5b_lyrics": "OpenAI's largest top prior, sings lyrics (2020)",
    "1b_lyrics": "OpenAI's small top prior, sings lyrics (2020)",
}

_HUB_REPOSITORIES: Mapping[str, str] = {
    "5b_lyrics": "openai/jukebox-5b-lyrics",
    "1b_lyrics": "openai/jukebox-1b-lyrics",
}

_NUM_BYTES: Mapping[str, int] = {
    "5b": 18_146_432_524,
    "5b_lyrics": 19_322_021_324,
    "1b_lyrics": 11_628_474_124,
}


def released_config(name: str) -> JukeboxConfig:
    """The configuration of a released model.

    Raises:
        ConfigError: the name is none of `RELEASED_MODELS`.
    """
    if name not in _TOPS:
        raise ConfigError(f"{name!r} was not released: {', '.join(RELEASED_MODELS)}")
    config = JukeboxConfig.from_openai(_VQVAE, [_TOPS[name], *_UPSAMPLERS], name=name)
    return replace(config, description=_DESCRIPTIONS[name], licence=LICENCE)


def released_model(name: str) -> ReleasedModel:
    """What is known of a released model and its files.

    Raises:
        ModelNotFound: the name is none of `RELEASED_MODELS`.
    """
    if name not in _TOPS:
        raise ModelNotFound(
            f"no model called {name!r} can be fetched: there are {', '.join(RELEASED_MODELS)}"
        )
    return ReleasedModel(
        name=name,
        config=released_config(name),
        vqvae_path="5b/vqvae.pth.tar",
        prior_paths={
            Level.TOP: f"{name}/prior_level_2.pth.tar",
            Level.MIDDLE: "5b/prior_level_1.pth.tar",
            Level.BOTTOM: "5b/prior_level_0.pth.tar",
        },
        hub_repository=_HUB_REPOSITORIES.get(name),
        num_bytes=_NUM_BYTES[name],
    )
