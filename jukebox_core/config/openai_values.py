"""The original's hyperparameters that describe a model, with their types and defaults.

Defaults are those of its `hparams.py`. What has none here has to be given: a model that leaves it
out is not described. A value may be None where the original takes it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from jukebox_core.errors import ConfigError

Part = TypeVar("Part", bound="_Part")


def _switch(value: object) -> object:
    # The original only asks whether it is true; 0 and 1 are what a command line makes of it.
    return bool(value) if value is None or value in (0, 1) else value


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Switch = Annotated[bool, BeforeValidator(_switch)]
PerLevel = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], BeforeValidator(_listed)]
Pair = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_listed)]
Range = Annotated[tuple[FiniteFloat, FiniteFloat], BeforeValidator(_listed)]
Ranges = Annotated[tuple[Range, Range, Range], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @classmethod
    def read(cls, hps: Mapping[str, Any]) -> Self:
        """The values of this part among all others. Raises ConfigError, naming what is wrong."""
        try:
            return cls.model_validate(dict(hps))
        except ValidationError as error:
            fault = error.errors()[0]
            name = fault["loc"][0]
            if fault["type"] == "missing":
                raise ConfigError(f"hyperparameter {name!r} is missing") from error
            raise ConfigError(
                f"hyperparameter {name!r} is {hps[str(name)]!r}: {fault['msg']}"
            ) from error


class VQVAEValues(_Part):
    """`make_vqvae` of the original, and the weights of its losses."""

    sr: PositiveInt | None = None
    downs_t: PerLevel
    strides_t: PerLevel
    l_bins: PositiveInt
    emb_width: PositiveInt
    width: PositiveInt
    depth: PositiveInt
    hvqvae_multipliers: PerLevel | None = None
    m_conv: FiniteFloat = 1.0
    dilation_growth_rate: PositiveInt
    dilation_cycle: PositiveInt | None = None
    vqvae_reverse_decoder_dilation: Switch = True
    l_mu: FiniteFloat = 0.99
    commit: FiniteFloat = 1.0
    spectral: FiniteFloat = 0.0
    multispectral: FiniteFloat = 1.0


class PriorValues(_Part):
    """`make_prior` of the original: the transformer, and which of the other parts there are."""

    sr: PositiveInt | None = None
    level: NonNegativeInt
    n_ctx: PositiveInt
    prior_width: PositiveInt
    prior_depth: PositiveInt
    heads: PositiveInt
    attn_order: NonNegativeInt
    blocks: PositiveInt | None = None
    init_scale: FiniteFloat = 1.0
    res_scale: Switch = False
    m_attn: FiniteFloat = 0.25
    m_mlp: FiniteFloat = 1.0
    merged_decoder: Switch = False
    fp16_params: Switch = False
    labels: Switch = True
    use_tokens: Switch = False
    single_enc_dec: Switch = False
    n_tokens: NonNegativeInt = 0


class LabelValues(_Part):
    """`LabelConditioner` of the original. `t_ranges` is how its first release gave durations."""

    labels_v3: Switch = False
    y_bins: Pair
    max_bow_genre_size: PositiveInt
    t_bins: PositiveInt = 64
    min_duration: FiniteFloat | None = None
    max_duration: FiniteFloat | None = None
    t_ranges: Ranges | None = None


class LyricValues(_Part):
    """Lyrics, however they are read."""

    n_tokens: PositiveInt
    n_vocab: PositiveInt
    prime_loss_fraction: FiniteFloat = 0.1
    alignment_layer: NonNegativeInt | None = None
    alignment_head: NonNegativeInt | None = None


class EncoderValues(_Part):
    """The separate transformer over lyrics."""

    n_tokens: PositiveInt
    prime_width: PositiveInt
    prime_depth: PositiveInt
    prime_heads: PositiveInt
    prime_attn_order: NonNegativeInt
    prime_blocks: PositiveInt | None = None
    prime_init_scale: FiniteFloat = 1.0
    prime_res_scale: Switch = False
    prime_m_attn: FiniteFloat = 0.25
    prime_m_mlp: FiniteFloat = 1.0


class ConditionerValues(_Part):
    """`Conditioner` of the original, over the codes of the level above."""

    cond_width: PositiveInt
    cond_depth: PositiveInt
    cond_m_conv: FiniteFloat = 1.0
    cond_dilation_growth_rate: PositiveInt
    cond_dilation_cycle: PositiveInt | None = None
    cond_res_scale: Switch = False


VQVAE_NAMES: frozenset[str] = frozenset(VQVAEValues.model_fields)
"""Hyperparameters that describe a VQ-VAE."""

PRIOR_NAMES: frozenset[str] = frozenset().union(
    *(
        part.model_fields
        for part in (PriorValues, LabelValues, LyricValues, EncoderValues, ConditionerValues)
    )
)
"""Hyperparameters that describe a prior."""
