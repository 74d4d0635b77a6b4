"""JukeboxVQVAE: three encoders, three codebooks, three decoders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.casts import Conversion, requested_dtype
from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.errors import AudioError, ConfigError
from jukebox_core.units import Level
from jukebox_core.vqvae.chunks import (
    decoder_grid_tokens,
    near_chunk_tokens,
    on_grid,
    plan_chunks,
)
from jukebox_core.vqvae.codebook import Codebook, build_codebook
from jukebox_core.vqvae.conv import Decoder, Encoder
from jukebox_core.vqvae.post_filter import PostFilter

DECODE_CHUNK_SAMPLES = 2**19
"""Audio decoded at a time unless told otherwise: 12 s at 44.1 kHz, 128 MiB per layer."""


@dataclass(frozen=True, slots=True)
class VQVAEOutput:
    """What one pass through all levels gives, each list bottom first.

    `reconstructions`  float32 [B, T, 1] each: the audio as that level alone renders it
    `codes`            int64 [B, T / samples_per_token] each
    `commit_loss`      float32 []: mean squared distance to the chosen codes, summed over levels
    """

    reconstructions: list[Tensor]
    codes: list[Tensor]
    commit_loss: Tensor


class JukeboxVQVAE(nn.Module):
    """Audio <-> codes of three levels, always in float32.

    Lists over levels are in the paper's order: index 0 is the bottom. Nothing is shared between
    levels: each has an encoder and a decoder from and to the raw audio.
    """

    def __init__(self, config: JukeboxVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(Encoder(config, level) for level in Level)
        self.decoders = nn.ModuleList(Decoder(config, level) for level in Level)
        self.codebooks = nn.ModuleList(build_codebook(config) for _ in Level)
        self.post_filter = None if config.post_filter is None else PostFilter(config.post_filter)

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        dtype = requested_dtype(fn)
        if dtype not in (None, torch.float32):
            raise ConfigError(
                f"the VQ-VAE computes in float32 and cannot be cast to {dtype}; the priors can"
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @torch.no_grad()
    def encode(
        self, audio: Tensor, start_level: int = 0, end_level: int | None = None
    ) -> list[Tensor]:
        """Codes of the levels `start_level` to `end_level` (not included; None: all), bottom first.

        audio    float32 [B, T, 1]; T a positive multiple of the coarsest of these levels' hop
        returns  int64 [B, T / samples_per_token] for each level

        Raises:
            AudioError: the audio has another shape.
        """
        levels = tuple(Level)[start_level:end_level]
        self._check_audio(audio, self.config.samples_per_token[levels[-1]])
        waveform = audio.float().transpose(1, 2)
        return [self._codebook(level).encode(self.encoders[level](waveform)) for level in levels]

    @torch.no_grad()
    def decode(
        self, codes: Sequence[Tensor], start_level: int = 0, end_level: int | None = None
    ) -> Tensor:
        """Audio of `codes[0]`, rendered by the decoder of `start_level`.

        Only the first stream is used, as in the original: every level renders on its own.
        `end_level` is part of the inherited signature and changes nothing.

        codes    int64 [B, T] per level, finest first
        returns  float32 [B, T * samples_per_token, 1]
        """
        return self._render(codes[0], start_level)

    @torch.no_grad()
    def decode_chunked(self, codes: Tensor, level: int, chunk_tokens: int | None = None) -> Tensor:
        """The audio that `decode` gives, in pieces: working memory does not grow with the song.

        codes         int64 [B, T] of `level`
        chunk_tokens  new tokens per piece; None: some 2 s on a CPU, 12 s elsewhere
        returns       float32 [B, T * samples_per_token, 1], equal to `decode` to 1e-6 (1e-5
                      with a post-filter)
        """
        hop = self.config.samples_per_token[level]
        batch, num_tokens = codes.shape
        audio = torch.empty(batch, num_tokens * hop, 1, device=codes.device)
        start = 0
        for piece in self.iter_decode(codes, level, chunk_tokens):
            audio[:, start : start + piece.shape[1]] = piece
            start += piece.shape[1]
        return audio

    @torch.no_grad()
    def iter_decode(
        self, codes: Tensor, level: int, chunk_tokens: int | None = None
    ) -> Iterator[Tensor]:
        """The pieces of `decode_chunked` one after the other, each float32 [B, samples, 1].

        Songs go through the decoder one by one, so that memory does not grow with B either.
        """
        hop = self.config.samples_per_token[level]
        reach_tokens = decoder_reach_tokens(self.config, level)
        size = chunk_tokens or self._chunk_tokens(codes.device, level)
        grid_tokens = decoder_grid_tokens(self.config, level)
        for chunk in plan_chunks(codes.shape[1], size, reach_tokens, grid_tokens):
            keep = slice(
                (chunk.keep_start - chunk.start) * hop, (chunk.keep_end - chunk.start) * hop
            )
            rows = torch.split(codes[:, chunk.start : chunk.end], 1)
            yield torch.cat([self._render(row, level)[:, keep] for row in rows])

    def _chunk_tokens(self, device: torch.device, level: int) -> int:
        if device.type == "cpu":
            return near_chunk_tokens(self.config, level)
        return max(DECODE_CHUNK_SAMPLES // self.config.samples_per_token[level], 1)

    @torch.no_grad()
    def decode_between(self, codes: Tensor, level: int, start: int, end: int) -> Tensor:
        """The part of `decode` that belongs to tokens [start, end): float32 [B, samples, 1].

        Codes that come after `end` and `decoder_reach_tokens` more make no difference, so a song
        may be decoded while it grows. Codes that are a part of a song begin at a multiple of
        `decoder_grid_tokens` of it.
        """
        hop = self.config.samples_per_token[level]
        reach_tokens = decoder_reach_tokens(self.config, level)
        first = on_grid(start - reach_tokens, decoder_grid_tokens(self.config, level))
        rows = torch.split(codes[:, first : end + reach_tokens], 1)
        keep = slice((start - first) * hop, (end - first) * hop)
        return torch.cat([self._render(row, level)[:, keep] for row in rows])

    def forward(self, audio: Tensor) -> VQVAEOutput:
        """Encode and render every level; gradients pass the codebooks straight through.

        audio  float32 [B, T, 1]; T a positive multiple of the top level's samples per token

        Raises:
            AudioError: the audio has another shape.
        """
        self._check_audio(audio, self.config.samples_per_token[Level.TOP])
        waveform = audio.float().transpose(1, 2)
        reconstructions, codes, commit_loss = [], [], waveform.new_zeros(())
        for level in Level:
            codebook = self._codebook(level)
            vectors = self.encoders[level](waveform)
            chosen = codebook.encode(vectors)
            compared, quantized = codebook.compare(vectors), codebook.look_up(chosen)
            commit_loss = commit_loss + functional.mse_loss(compared, quantized)
            passed_through = codebook.expand(compared + (quantized - compared).detach())
            reconstructions.append(self._sound(passed_through, level))
            codes.append(chosen)
        return VQVAEOutput(reconstructions, codes, commit_loss)

    def _render(self, codes: Tensor, level: int) -> Tensor:
        return self._sound(self._codebook(level).decode(codes), level)

    def _sound(self, vectors: Tensor, level: int) -> Tensor:
        """float32 [B, width, T] -> [B, T * samples_per_token, 1], filtered if it is the bottom."""
        audio: Tensor = self.decoders[level](vectors)
        if self.post_filter is not None and level == Level.BOTTOM:
            audio = self.post_filter(audio.squeeze(1)).unsqueeze(1)
        return audio.transpose(1, 2)

    def _codebook(self, level: int) -> Codebook:
        codebook = self.codebooks[level]
        if not isinstance(codebook, Codebook):  # for the type checker: ModuleList forgets
            raise TypeError(f"codebook {level} is a {type(codebook).__name__}")
        return codebook

    @staticmethod
    def _check_audio(audio: Tensor, hop_samples: int) -> None:
        fits = audio.ndim == 3 and audio.shape[2] == 1 and audio.shape[1] >= hop_samples
        if not fits or audio.shape[1] % hop_samples:
            raise AudioError(
                f"audio has the shape {tuple(audio.shape)}; wanted [batch, samples, 1] with the "
                f"samples a positive multiple of {hop_samples}"
            )
