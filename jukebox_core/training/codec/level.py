"""One level of a VQ-VAE while it is trained: what is kept, and what only training needs."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.training.codec.auxiliary_head import AuxiliaryHead
from jukebox_core.training.codec.codebook_learning import CodebookLearner, rows_of
from jukebox_core.training.codec.fast_codec import decode_fast, encode_fast
from jukebox_core.units import Level
from jukebox_core.vqvae.codebook import build_codebook
from jukebox_core.vqvae.conv import Decoder, Encoder


@dataclass(frozen=True, slots=True)
class LevelOutput:
    """What one pass gives.

    `rendered`   float32 [B, T]
    `vectors`    [B, codebook width, tokens], what was compared with the codes
    `quantized`  the same shape: the codes chosen for them
    `passed`     [B, embedding width, tokens], what the decoder got: `quantized` by value, with the
                 gradient handed to `vectors`
    `codes`      int64 [B, tokens]
    """

    rendered: Tensor
    vectors: Tensor
    quantized: Tensor
    passed: Tensor
    codes: Tensor


class VQVAELevel(nn.Module):
    """Encoder, codebook and decoder of one level, with the averages and the head beside them."""

    def __init__(
        self,
        config: JukeboxVQVAEConfig,
        level: Level,
        head: AuxiliaryHead | None = None,
        *,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config, level)
        self.codebook = build_codebook(config)
        self.decoder = Decoder(config, level)
        num_codes, codebook_width = self.codebook.codes.shape
        self.learner = CodebookLearner(num_codes, codebook_width, config.codebook_decay)
        self.head = head
        self._gradient_checkpointing = gradient_checkpointing

    def forward(self, audio: Tensor) -> LevelOutput:
        """Through the codes and back: float32 [B, T], T a positive multiple of the hop."""
        vectors = self.codebook.compare(self._run(self._encode, audio.unsqueeze(1)))
        if self.training:
            self.learner.initialize(self.codebook, rows_of(vectors.detach()))
        codes = self.codebook.nearest(vectors.detach())
        quantized = self.codebook.look_up(codes)
        passed = self.codebook.expand(vectors + (quantized - vectors).detach())
        rendered = self._run(self._decode, passed).squeeze(1)
        return LevelOutput(rendered, vectors, quantized, passed, codes)

    def _encode(self, audio: Tensor) -> Tensor:
        return encode_fast(self.encoder, audio)

    def _decode(self, vectors: Tensor) -> Tensor:
        return decode_fast(self.decoder, vectors)

    def _run(self, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if not (self._gradient_checkpointing and self.training):
            return part(x)
        y: Tensor = checkpoint(part, x, use_reentrant=False)
        return y
