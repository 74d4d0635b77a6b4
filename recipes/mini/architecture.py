"""The architecture of `mini`: a three-level Jukebox that sings in seconds on two CPU cores.

`python -m recipes.mini.architecture FOLDER` writes it as `config.json`, for `jukebox train new
--like FOLDER`.
"""

import sys
from pathlib import Path

from jukebox_core.checkpoints.native import write_config
from jukebox_core.config import (
    AttentionKind,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
    LabelConfig,
    LyricConfig,
    TransformerConfig,
)
from jukebox_core.config.small import prior_over
from jukebox_core.units import COARSE_TO_FINE, Level

# One big stride costs a third of a chain of small ones: 16, 64 and 256 samples a token.
MINI_CODEC = JukeboxVQVAEConfig(
    sample_rate_hz=16_000,
    downs=(2, 1, 1),
    strides=(4, 4, 4),
    num_codes=1024,
    embedding_width=64,
    width=32,
    depth=4,
    width_multipliers=(1, 1, 1),
)

_WIDTH = 256
_ROW, _COLUMN, _PREVIOUS = AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW
_LYRICS, _ALL = AttentionKind.LYRIC_ENCODER, AttentionKind.ALL

# All layers but those of the lyrics see the whole window: a beat is no fixed number of tokens, so
# rows and columns miss it, and the genre stands at the first place alone. The lyrics are found
# early, so that most layers can use what they say.
_TOP_LAYERS = (
    *(_ALL, _ALL, _LYRICS, _ALL),
    *(_ALL, _ALL, _LYRICS, _ALL),
    *(_ALL, _ALL, _LYRICS, _ALL),
)
_UPSAMPLER_LAYERS = (*(_ROW, _PREVIOUS, _COLUMN), *(_ROW, _PREVIOUS, _COLUMN), _ROW, _PREVIOUS)
_NUM_LYRIC_TOKENS = 128


def mini_config(*, num_artists: int, num_genres: int, name: str = "mini") -> JukeboxConfig:
    """A model of about ten million parameters; the numbers of names count the unknown one."""
    labels = LabelConfig(
        version="v3",
        num_genres=num_genres,
        num_artists=num_artists,
        max_genres=1,
        num_time_bins=256,
        min_duration_sec=1.0,
        max_duration_sec=600.0,
        exact_positions=True,
    )
    top, middle, bottom = (_prior_config(level, labels) for level in COARSE_TO_FINE)
    return JukeboxConfig(vqvae=MINI_CODEC, priors=(top, middle, bottom), name=name)


def _prior_config(level: Level, labels: LabelConfig) -> JukeboxPriorConfig:
    is_top = level is Level.TOP
    context_tokens = 640 if is_top else 512
    return prior_over(
        MINI_CODEC,
        level,
        transformer=TransformerConfig(
            width=_WIDTH,
            layers=_TOP_LAYERS if is_top else _UPSAMPLER_LAYERS,
            num_heads=4,
            num_blocks=context_tokens // 32,
            context_tokens=context_tokens,
        ),
        labels=labels,
        lyrics=_lyrics(),
        conditioner_width=128,
        conditioner_cycle=4,
    )


def _lyrics() -> LyricConfig:
    return LyricConfig(
        num_tokens=_NUM_LYRIC_TOKENS,
        num_characters=79,
        loss_weight=0.4,
        encoder=TransformerConfig(
            width=_WIDTH,
            layers=(_ROW, _PREVIOUS),
            num_heads=4,
            num_blocks=8,
            context_tokens=_NUM_LYRIC_TOKENS,
        ),
        alignment_layer=_TOP_LAYERS.index(_LYRICS),
        alignment_head=0,
    )


def write_architecture(folder: Path) -> None:
    """Write `config.json`, as `jukebox train new --like FOLDER` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, mini_config(num_artists=1, num_genres=1))


if __name__ == "__main__":
    write_architecture(Path(sys.argv[1]))
