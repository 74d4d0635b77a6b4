"""The same priors in transformers, with random weights, timed step by step."""

import importlib
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import torch

from bench.machine import Clock
from bench.priors import (
    compute_dtype,
    fill,
)
from bench.steps import label_rows, upper_code_rows
from jukebox_core.config import JukeboxPriorConfig, TransformerConfig
from jukebox_core.units import COARSE_TO_FINE


def their_prior(
    name: str, ours: JukeboxPriorConfig, device: torch.device, precision: str | None = None
) -> Any:  # noqa: ANN401
    """The same prior in transformers, with random weights; fp32 on a CPU, half elsewhere."""
    modeling = _their_modeling()
    level = COARSE_TO_FINE.index(ours.level)
    with torch.device("meta"):
        config = modeling.JukeboxPriorConfig(**_their_config(name, ours))
        prior = modeling.JukeboxPrior(config, level=level)
    # They keep no buffers, so that nothing but weights is left to be filled.
    precision = precision or ("fp32" if device.type == "cpu" else "fp16")
    prior = prior.to(compute_dtype(precision, device)).to_empty(device=device).eval()
    fill(prior)
    return prior


def _their_modeling() -> Any:  # noqa: ANN401
    """Imported where it is needed: it takes seconds, and the GPU script does without."""
    return importlib.import_module("transformers.models.deprecated.jukebox.modeling_jukebox")


def _their_config(name: str, ours: JukeboxPriorConfig) -> dict[str, Any]:
    lyrics, labels, conditioner = ours.lyrics, ours.labels, ours.conditioner
    encoder = None if lyrics is None else lyrics.encoder
    patterns = {
        "1b_lyrics": "enc_dec_with_lyrics",
        "5b_lyrics": "large_separated_enc_dec_w_lyrics",
        "upsampler": "raw_column_previous_row_attention",
    }
    values = {
        **_their_stack(ours.transformer, patterns[name]),
        "level": COARSE_TO_FINE.index(ours.level),
        "n_ctx": ours.context_tokens,
        "music_vocab_size": ours.num_codes,
        "is_encoder_decoder": ours.merged_vocabulary,
        "merged_decoder": encoder is not None,
        "nb_relevant_lyric_tokens": 0 if lyrics is None else lyrics.num_tokens,
        "lyric_vocab_size": 80 if lyrics is None else lyrics.num_characters,
        "sampling_rate": ours.sample_rate_hz,
        "res_downs_t": [3, 2, 2],
        "res_strides_t": [2, 2, 2],
    }
    if labels is not None:
        values |= {
            "max_nb_genres": labels.max_genres,
            "metadata_dims": [labels.num_genres, labels.num_artists],
            "timing_dims": labels.num_time_bins,
            "min_duration": labels.min_duration_sec,
            "max_duration": labels.max_duration_sec,
        }
    if lyrics is not None and encoder is not None:
        values["encoder_config"] = {
            **_their_stack(encoder, patterns["upsampler"]),
            "n_ctx": lyrics.num_tokens,
            "is_encoder_decoder": False,
            "music_vocab_size": lyrics.num_characters,
            "lyric_vocab_size": lyrics.num_characters,
            "nb_relevant_lyric_tokens": 0,
        }
    if conditioner is not None:
        values |= {
            "res_conv_width": conditioner.width,
            "res_conv_depth": conditioner.depth,
            "res_dilation_growth_rate": conditioner.dilation_growth_rate,
            "res_dilation_cycle": conditioner.dilation_cycle,
            "conv_res_scale": conditioner.scale_residuals,
        }
    return values


def _their_stack(config: TransformerConfig, pattern: str) -> dict[str, Any]:
    return {
        "attention_pattern": pattern,
        "hidden_size": config.width,
        "num_layers": len(config.layers),
        "n_heads": config.num_heads,
        "blocks": config.num_blocks,
        "attention_multiplier": config.attention_width / config.width,
        "mask": True,
    }


@torch.inference_mode()
def their_step_times(
    theirs: Any,  # noqa: ANN401
    config: JukeboxPriorConfig,
    num_rows: int,
    num_tokens: int,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Seconds of every token but the first, which includes what is done once for a window.

    A clock stands in for their progress bar, whose drawing costs them 10%.
    """
    times: list[float] = []

    def timed(over: Iterable[int], **_: object) -> mock.MagicMock:
        def moments() -> Iterator[int]:
            for each in over:
                times.append(clock())
                yield each
            times.append(clock())

        bar = mock.MagicMock()
        bar.__iter__.side_effect = moments
        return bar

    device = next(theirs.parameters()).device
    upper = upper_code_rows(config, num_rows)
    with mock.patch.object(_their_modeling(), "tqdm", timed):
        theirs.sample(
            num_rows,
            music_tokens_conds=[] if upper is None else [upper.to(device)],
            metadata=label_rows(config, num_rows).to(device),
            temp=0.99,
            sample_tokens=num_tokens,
        )
    return [later - earlier for earlier, later in itertools.pairwise(times)][1:]
