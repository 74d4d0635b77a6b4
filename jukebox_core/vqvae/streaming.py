"""The sound of codes that are still being sampled, as far as no code to come can change it."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.units import Level
from jukebox_core.vqvae.model import JukeboxVQVAE


@torch.inference_mode()
def iter_finished_sound(
    vqvae: JukeboxVQVAE, level: Level, codes_so_far: Iterable[Tensor], total_tokens: int
) -> Iterator[Tensor]:
    """Sound float32 [B, samples, 1] in pieces, which put together are that of all codes.

    codes_so_far  int64 [B, n] of `level`: all from the beginning on, more of them every time
    total_tokens  how many there are in the end
    """
    reach_tokens = decoder_reach_tokens(vqvae.config, level)
    done = 0
    for codes in codes_so_far:
        num_tokens = codes.shape[1]
        end = num_tokens if num_tokens == total_tokens else num_tokens - reach_tokens
        if end > done:
            yield vqvae.decode_between(codes, level, done, end)
            done = end
