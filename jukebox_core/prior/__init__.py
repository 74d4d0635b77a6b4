"""Priors: autoregressive transformers over the codes of one level."""

from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.outputs import Conditioning, PriorOutput
from jukebox_core.prior.prior import JukeboxPrior

__all__ = ["Conditioning", "JukeboxPrior", "PriorCache", "PriorOutput"]
