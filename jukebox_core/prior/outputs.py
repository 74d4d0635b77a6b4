"""What a prior takes in besides codes, and what it gives back."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """Everything a prior knows about its windows before the first code.

    start_embedding     float32 [B, C]                  stands at the first position
    position_embedding  float32 [B, context_tokens, C]  from the level above; at the top, the time
    lyric_ids           int64 [B, n] | None
    lyric_states        float32 [B, n, C] | None        with a separate lyric encoder only
    """

    start_embedding: Tensor
    position_embedding: Tensor
    lyric_ids: Tensor | None = None
    lyric_states: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorOutput:
    """A teacher-forced pass. Losses are scalars, in bits per token.

    logits      float32 [B, T, V]; T and V cover lyrics and music when they share a vocabulary
    loss        the training loss: both others weighted by their token counts
    lyric_loss  zero for a prior without lyrics
    attention   float32 [B, H, T, K] | None, softmax weights of the layer that was asked for
    """

    logits: Tensor
    loss: Tensor
    music_loss: Tensor
    lyric_loss: Tensor
    attention: Tensor | None = None
