"""The separate reader of lyrics (5b_lyrics)."""

import torch
from torch import Tensor, nn

from jukebox_core.config import LyricConfig, TransformerConfig
from jukebox_core.prior.projection import INIT_STD, LayerNorm, Projection
from jukebox_core.prior.transformer import Transformer


class LyricEncoder(nn.Module):
    """A causal transformer over characters, whose states the prior attends to.

    It is a language model with its own start token and the usual shift: the state at position i
    has read the characters before i, and not character i itself.
    """

    def __init__(self, lyrics: LyricConfig, stack: TransformerConfig, *, out_width: int) -> None:
        super().__init__()
        width, scale = stack.width, stack.init_scale
        self.start_token = nn.Parameter(torch.empty(1, width))
        self.token_embedding = nn.Embedding(lyrics.num_characters, width)
        self.position_embedding = nn.Parameter(torch.empty(lyrics.num_tokens, width))
        self.transformer = Transformer(stack)
        self.projection = Projection(width, out_width, init_scale=scale)
        self.norm = LayerNorm(out_width)
        self.logits = nn.Linear(out_width, lyrics.num_characters, bias=False)
        nn.init.normal_(self.start_token, std=0.01 * scale)
        nn.init.normal_(self.position_embedding, std=0.01 * scale)
        nn.init.normal_(self.token_embedding.weight, std=INIT_STD * scale)
        nn.init.normal_(self.logits.weight, std=INIT_STD * scale)

    def forward(self, lyric_ids: Tensor) -> Tensor:
        """lyric_ids int64 [B, num_tokens] -> states float32 [B, num_tokens, out_width]."""
        start = self.start_token.expand(lyric_ids.shape[0], 1, -1)
        x = torch.cat((start, self.token_embedding(lyric_ids[:, :-1])), dim=1)
        states = self.transformer(x + self.position_embedding).states
        projected: Tensor = self.norm(self.projection(states))
        return projected
