"""A whole model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from jukebox_core.config.openai import (
    level_from_openai,
    prior_from_openai,
    sample_rate_from_openai,
    vqvae_from_openai,
)
from jukebox_core.config.prior import JukeboxPriorConfig, LabelVersion
from jukebox_core.config.vqvae import JukeboxVQVAEConfig
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

# Written only where they say something: earlier versions do not know these fields.
_LATER_LABEL_FIELDS: Mapping[str, Any] = {"exact_positions": False}
_LATER_VQVAE_FIELDS: Mapping[str, Any] = {
    "post_filter": None,
    "dilation_cycle": None,
    "reverse_decoder_dilations": True,
}
_LATER_TRANSFORMER_FIELDS: Mapping[str, Any] = {"scale_residuals": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxConfig:
    """A whole model: the VQ-VAE and its three priors, top first.

    `name` is what a client asks for; `description` is shown to people; `licence` names the terms
    of the weights.
    """

    # For `from_dict`, and for the parts as well: a field that nobody knows is an error.
    __pydantic_config__ = ConfigDict(extra="forbid")

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
        _leave_out(values["vqvae"], _LATER_VQVAE_FIELDS)
        for prior in values["priors"]:
            _leave_out(prior["transformer"], _LATER_TRANSFORMER_FIELDS)
            if prior["labels"] is not None:
                _leave_out(prior["labels"], _LATER_LABEL_FIELDS)
            if prior["lyrics"] is not None and prior["lyrics"]["encoder"] is not None:
                _leave_out(prior["lyrics"]["encoder"], _LATER_TRANSFORMER_FIELDS)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "JukeboxConfig":
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown, missing or contradicts another.
        """
        try:
            return _reader().validate_python(dict(values))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"not a Jukebox configuration: {error}") from error


def _leave_out(values: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    for name, default in defaults.items():
        if values[name] == default:
            del values[name]


@cache
def _reader() -> TypeAdapter[JukeboxConfig]:
    return TypeAdapter(JukeboxConfig)
