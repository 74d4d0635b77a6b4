"""Configurations: frozen, complete, checked when made.

Lists over priors run in sampling order (index 0 = top), lists of the VQ-VAE in the paper's order
(index 0 = bottom), as in the Hugging Face documentation.
"""

from jukebox_core.config.model import JukeboxConfig
from jukebox_core.config.prior import (
    ConditionerConfig,
    JukeboxPriorConfig,
    LabelConfig,
    LabelVersion,
    LyricConfig,
)
from jukebox_core.config.transformer import AttentionKind, TransformerConfig, attention_layers
from jukebox_core.config.vqvae import JukeboxVQVAEConfig, PostFilterConfig
from jukebox_core.config.weights import Weights

__all__ = [
    "AttentionKind",
    "ConditionerConfig",
    "JukeboxConfig",
    "JukeboxPriorConfig",
    "JukeboxVQVAEConfig",
    "LabelConfig",
    "LabelVersion",
    "LyricConfig",
    "PostFilterConfig",
    "TransformerConfig",
    "Weights",
    "attention_layers",
]
