"""What windows cost in bits, and what a prior is trained for."""

import math

from torch import Tensor
from torch.nn import functional as F

from jukebox_core.config import JukeboxPriorConfig

_NOT_COUNTED = -100


def mean_bits(logits: Tensor, ids: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean cross-entropy in bits of logits [B, T, V] against ids [B, T].

    `counted`, bool [B, T], says which ids count; None counts all.
    """
    if counted is not None:
        ids = ids.masked_fill(~counted, _NOT_COUNTED)
    loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=_NOT_COUNTED)
    return loss / math.log(2.0)


def total_loss(config: JukeboxPriorConfig, music_loss: Tensor, lyric_loss: Tensor) -> Tensor:
    """Both losses, weighted by how many tokens a window has of each."""
    if config.lyrics is None:
        return music_loss
    num_music, num_lyrics = config.context_tokens, config.lyrics.num_tokens
    weighted = config.lyrics.loss_weight * num_lyrics * lyric_loss + num_music * music_loss
    return weighted / (num_music + num_lyrics)
