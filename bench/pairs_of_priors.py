"""Small priors in the shapes of the released ones, the same weights in both libraries."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from jukebox_core.checkpoints.huggingface import HuggingFaceDirectory
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level

_PATTERN_1B = "enc_dec_with_lyrics"
_PATTERN_5B = "large_separated_enc_dec_w_lyrics"
_PATTERN_UPSAMPLER = "raw_column_previous_row_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Sizes that all priors of a measurement share.

    `rows` of `block_tokens` positions make a window; `num_lyrics` are lyric tokens.
    """

    width: int
    rows: int = 16
    block_tokens: int = 64
    num_lyrics: int = 64
    num_codes: int = 2048

    @property
    def context_tokens(self) -> int:
        """Music tokens in one window."""
        return self.rows * self.block_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorPair:
    """One prior in both libraries."""

    name: str
    theirs: Any
    ours: JukeboxPrior

    def labels(self, num_rows: int) -> Tensor:
        """Label vectors int64 [num_rows, W] of the first window of three minutes of music."""
        config, generator = self.ours.config, torch.Generator().manual_seed(3)
        num_lyrics = 0 if config.lyrics is None else config.lyrics.num_tokens
        lyrics = torch.randint(1, 79, (num_rows, num_lyrics), generator=generator)
        max_genres = config.labels.max_genres if config.labels is not None else 1
        fixed = torch.tensor(
            [180 * 44_100, 0, config.context_samples, 2, 3, *[-1] * (max_genres - 1)]
        )
        return torch.cat((fixed.expand(num_rows, -1), lyrics), dim=1)

    def upper_codes(self, num_rows: int) -> Tensor | None:
        """Codes of the level above, int64 [num_rows, upper_context_tokens]; None at the top."""
        num_upper = self.ours.config.upper_context_tokens
        if not num_upper:
            return None
        generator = torch.Generator().manual_seed(5)
        size = (num_rows, num_upper)
        return torch.randint(0, self.ours.config.num_codes, size, generator=generator)


def prior_pairs(size: Size) -> Iterator[PriorPair]:
    """The three kinds, as few layers each as show all attention patterns of the released model.

    transformers ties the pattern to the depth: lyric layers begin at 16 and 19 layers.
    """
    one_b = _top(size, _PATTERN_1B, num_layers=16, is_encoder_decoder=True, lyric_vocab_size=79)
    five_b = _top(
        size,
        _PATTERN_5B,
        num_layers=19,
        n_heads=8,
        is_encoder_decoder=False,
        merged_decoder=True,
        encoder_config=_encoder(size),
    )
    yield from _open("1b", size, one_b, max_nb_genres=1, levels={Level.TOP: "1b_lyrics"})
    yield from _open(
        "5b",
        size,
        five_b,
        max_nb_genres=5,
        levels={Level.TOP: "5b_lyrics", Level.BOTTOM: "upsampler"},
    )


def _shared(size: Size) -> dict[str, Any]:
    return {
        "music_vocab_size": size.num_codes,
        "hidden_size": size.width,
        "blocks": size.rows,
        "n_ctx": size.context_tokens,
        "attention_multiplier": 0.25,
        "mask": True,
        "res_downs_t": [3, 2, 2],
        "res_strides_t": [2, 2, 2],
        "max_duration": 600.0,
        "metadata_dims": [13, 17],
        "merged_decoder": False,
    }


def _top(size: Size, pattern: str, **others: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        **_shared(size),
        "level": 0,
        "attention_pattern": pattern,
        "n_heads": 2,
        "lyric_vocab_size": 80,
        "nb_relevant_lyric_tokens": size.num_lyrics,
        "encoder_loss_fraction": 0.4,
        **others,
    }


def _encoder(size: Size) -> dict[str, Any]:
    return {
        "hidden_size": size.width // 2,
        "num_layers": 4,
        "n_heads": 2,
        "blocks": 8,
        "n_ctx": size.num_lyrics,
        "attention_pattern": _PATTERN_UPSAMPLER,
        "is_encoder_decoder": False,
        "mask": True,
        "music_vocab_size": 80,
        "lyric_vocab_size": 80,
        "nb_relevant_lyric_tokens": 0,
    }


def _upsampler(size: Size) -> dict[str, Any]:
    return {
        **_shared(size),
        "attention_pattern": _PATTERN_UPSAMPLER,
        "num_layers": 12,
        "n_heads": 1,
        "is_encoder_decoder": False,
        "nb_relevant_lyric_tokens": 0,
        "encoder_loss_fraction": 0.0,
        "lyric_vocab_size": 80,
        "res_conv_width": 64,
        "res_conv_depth": 4,
        "res_dilation_growth_rate": 3,
        "res_dilation_cycle": 2,
        "conv_res_scale": False,
    }


def _open(
    kind: str, size: Size, top: dict[str, Any], *, max_nb_genres: int, levels: dict[Level, str]
) -> Iterator[PriorPair]:
    theirs = transformers.JukeboxModel(
        transformers.JukeboxConfig(
            vqvae_config={
                "res_conv_width": 8,
                "res_conv_depth": 1,
                "nb_discrete_codes": size.num_codes,
            },
            prior_config_list=[top, *({**_upsampler(size), "level": level} for level in (1, 2))],
            nb_priors=3,
            timing_dims=64,
            min_duration=17.84 if kind == "1b" else 23.8,
            max_duration=600.0,
            max_nb_genres=max_nb_genres,
        )
    ).eval()
    _fill(theirs)
    with tempfile.TemporaryDirectory() as folder:
        # Its tied embeddings cannot be written as safetensors (it refuses).
        theirs.save_pretrained(folder, safe_serialization=False)
        opened = HuggingFaceDirectory(Path(folder))
        ours = {
            level: opened.load_prior(level, device="cpu", dtype=torch.float32) for level in levels
        }
    for level, name in levels.items():
        prior = theirs.priors[COARSE_TO_FINE.index(level)]
        yield PriorPair(name=name, theirs=prior, ours=ours[level].eval())


@torch.no_grad()
def _fill(model: torch.nn.Module) -> None:
    """Random weights: transformers leaves some of them as they happen to lie in memory."""
    generator = torch.Generator().manual_seed(7)
    for name, weight in model.named_parameters():
        is_norm = weight.ndim == 1 and name.endswith("weight")
        weight.normal_(1.0 if is_norm else 0.0, 0.05, generator=generator)
