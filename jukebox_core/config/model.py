"""A whole model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from jukebox_core.config.openai import (
    level_from_openai,
    prior_from_openai,
    sample_rate_from_openai,
    vqvae_from_openai,
)
from jukebox_core.config.prior import (
    ConditionerConfig,
    JukeboxPriorConfig,
    LabelConfig,
    LabelVersion,
    LyricConfig,
)
from jukebox_core.config.transformer import TransformerConfig
from jukebox_core.config.vqvae import JukeboxVQVAEConfig, PostFilterConfig
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxConfig:
    """A whole model: the VQ-VAE and its three priors, top first.

    `name` is what a client asks for; `description` is shown to people; `licence` names the terms
    of the weights.
    """

    vqvae: JukeboxVQVAEConfig
    priors: tuple[JukeboxPriorConfig, JukeboxPriorConfig, JukeboxPriorConfig]
    name: str = "jukebox"
    description: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if tuple(prior.level for prior in self.priors) != COARSE_TO_FINE:
            raise ConfigError("priors must be given as top, middle, bottom")
        for prior in self.priors:
            self._check_prior(prior)

    def _check_prior(self, prior: JukeboxPriorConfig) -> None:
        expected = (
            self.vqvae.sample_rate_hz,
            self.vqvae.samples_per_token[prior.level],
            self.vqvae.num_codes,
        )
        found = (prior.sample_rate_hz, prior.samples_per_token, prior.num_codes)
        if found != expected:
            raise ConfigError(
                f"the {prior.level.label} prior has (sample rate, samples per token, codes) = "
                f"{found}, but the VQ-VAE has {expected}"
            )
        ratio = self.time_base.tokens_per_upper_token(prior.level)
        if prior.conditioner is not None and prior.conditioner.upsampling != ratio:
            raise ConfigError(
                f"the {prior.level.label} conditioner upsamples by {prior.conditioner.upsampling}, "
                f"but the VQ-VAE needs {ratio}"
            )

    @property
    def time_base(self) -> TimeBase:
        """Conversions between seconds, samples and tokens."""
        return self.vqvae.time_base

    @property
    def label_versions(self) -> tuple[LabelVersion, ...]:
        """The versions of the lists that the priors were trained with, each once, in order."""
        return tuple(sorted({p.labels.version for p in self.priors if p.labels is not None}))

    def prior(self, level: Level) -> JukeboxPriorConfig:
        """The prior of `level`."""
        return self.priors[COARSE_TO_FINE.index(level)]

    @classmethod
    def from_openai(
        cls,
        vqvae: Mapping[str, Any],
        priors: Sequence[Mapping[str, Any]],
        *,
        name: str = "jukebox",
        sample_rate_hz: int | None = None,
    ) -> "JukeboxConfig":
        """Read the original's hyperparameters (names of its `hparams.py`, or a checkpoint's `hps`).

        `priors` holds the three priors in any order; each names its own `level` (2 is the top).
        `sample_rate_hz` None is the `sr` of the parts, 44,100 where they say nothing.

        Raises:
            ConfigError: a hyperparameter is missing, unknown, of a wrong type, or asks for what
                this library does not compute; or the parts do not fit each other.
        """
        for hps in (vqvae, *priors):
            if not isinstance(hps, Mapping):
                raise ConfigError(
                    f"the hyperparameters of a part are a {type(hps).__name__}, not a dictionary"
                )
        codec = vqvae_from_openai(vqvae, sample_rate_from_openai((vqvae, *priors), sample_rate_hz))
        levels = sorted(int(level_from_openai(hps)) for hps in priors)
        if levels != sorted(Level):
            raise ConfigError(
                f"one prior for each of the levels 2, 1 and 0 is needed, found {levels}"
            )
        top, middle, bottom = sorted(
            (prior_from_openai(hps, codec) for hps in priors),
            key=lambda prior: COARSE_TO_FINE.index(prior.level),
        )
        return cls(vqvae=codec, priors=(top, middle, bottom), name=name)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary from which `from_dict` makes an equal configuration."""
        values = asdict(self)
        # Left out where there is none: earlier versions do not know the field.
        if self.vqvae.post_filter is None:
            del values["vqvae"]["post_filter"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "JukeboxConfig":
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown, missing or contradicts another.
        """
        try:
            # The types first: what the classes check and derive takes them for granted.
            _type_checker().validate_python(values)
            return _config_from_dict(values)
        except (TypeError, KeyError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"not a Jukebox configuration: {error}") from error


@cache
def _type_checker() -> TypeAdapter[JukeboxConfig]:
    return TypeAdapter(JukeboxConfig)


def _config_from_dict(values: Mapping[str, Any]) -> JukeboxConfig:
    fields = dict(values)
    codec = dict(fields.pop("vqvae"))
    if codec.get("post_filter") is not None:
        codec["post_filter"] = PostFilterConfig(**codec["post_filter"])
    vqvae = JukeboxVQVAEConfig(**codec)
    top, middle, bottom = (_prior_from_dict(prior) for prior in fields.pop("priors"))
    return JukeboxConfig(vqvae=vqvae, priors=(top, middle, bottom), **fields)


def _prior_from_dict(values: Mapping[str, Any]) -> JukeboxPriorConfig:
    fields = dict(values)
    fields["transformer"] = TransformerConfig(**fields["transformer"])
    if fields.get("labels") is not None:
        fields["labels"] = LabelConfig(**fields["labels"])
    if fields.get("lyrics") is not None:
        lyrics = dict(fields["lyrics"])
        if lyrics.get("encoder") is not None:
            lyrics["encoder"] = TransformerConfig(**lyrics["encoder"])
        fields["lyrics"] = LyricConfig(**lyrics)
    if fields.get("conditioner") is not None:
        fields["conditioner"] = ConditionerConfig(**fields["conditioner"])
    return JukeboxPriorConfig(**fields)
