"""The slow twin: each code is sampled from a whole teacher-forced pass over its window.

A loop that is obviously right, and knows neither cache, engine nor backends. Every fast path is
compared with it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from jukebox_core.labels import Labels, window_labels
from jukebox_core.model import JukeboxModel
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import plan_song
from jukebox_core.sampling.infill import Infill
from jukebox_core.sampling.noise import CounterNoise, NoiseSource
from jukebox_core.sampling.options import song_from_options
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.sampling.segments import join_segments
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

Choose = Callable[[Tensor, Tensor], Tensor]
"""Ids int64 [B] from logits [B, V] and one uniform number per row, float64 [B]."""


def choose_with(params: SamplingParams, num_rows: int = 1) -> Choose:
    rows = RowSampling.from_params([params] * num_rows)
    return lambda logits, uniforms: draw(logits, uniforms, rows)


@torch.inference_mode()
def sample_window(
    prior: JukeboxPrior,
    prefix: Tensor,
    labels: Tensor,
    upper_codes: Tensor | None,
    uniforms: Tensor,
    choose: Choose,
) -> Tensor:
    """The window int64 [B, n + m]: the prefix [B, n], and a code for each number of [B, m]."""
    num_rows, first = prefix.shape
    codes = torch.zeros(num_rows, prior.config.context_tokens, dtype=torch.int64)
    codes[:, :first] = prefix
    for step in range(uniforms.shape[1]):
        logits = prior(codes, labels, upper_codes).logits[:, -prior.config.context_tokens :]
        ids = choose(logits[:, first + step], uniforms[:, step])
        # In a merged vocabulary a character may be chosen: fed back as it is, as a code below 0.
        codes[:, first + step] = ids - prior.config.music_offset
    return codes[:, : first + uniforms.shape[1]].clamp(min=0)


def uniforms_of(noise: NoiseSource, level: Level, sample: int, first: int, end: int) -> Tensor:
    """float64 [1, end - first]"""
    places = torch.arange(first, end)
    return noise.uniform(level, torch.full_like(places, sample), places)[None]


def sample_song(
    model: JukeboxModel,
    labels: Labels,
    *,
    duration_sec: float,
    sample: int = 0,
    old: Sequence[np.ndarray] = (),
    infills: Mapping[Level, Sequence[Infill]] | None = None,
    **options,
) -> list[np.ndarray]:
    """Codes int64 [T] of one row at every level, top first, sampled level after level.

    Of `old` codes int64 [T] of each level only the infills are sampled again.
    """
    song = song_from_options(model.config, duration_sec, 1, options)
    done = {level: len(codes) for level, codes in zip(song.levels, old, strict=False)}
    plan = plan_song(model.config, song, done, padded=True, infills=infills)
    noise = options.get("noise") or CounterNoise(song.seed)
    above = None
    codes = []
    for index, level in enumerate(song.levels):
        config, level_plan = model.config.prior(level), plan.levels[level]
        streams = []
        for segment in level_plan.segments:
            stream = np.zeros(level_plan.total_tokens, dtype=np.int64)
            if old:
                stream[: len(old[index])] = old[index]
            for number in range(len(segment.windows)):
                window = segment.drawn(number)
                vector = window_labels(
                    config,
                    labels.songs[0][index],
                    total_samples=plan.total_samples,
                    offset_samples=plan.offset_samples,
                    start_token=window.start,
                )
                upper = None
                if above is not None:
                    first = window.start // model.config.time_base.tokens_per_upper_token(level)
                    places = range(first, first + config.upper_context_tokens)
                    # Segments may read beyond the end, where the song begins again.
                    upper = torch.from_numpy(above.take(places, mode="wrap"))
                sampled = sample_window(
                    model.prior(level),
                    torch.from_numpy(stream[window.start : window.first_new])[None],
                    torch.tensor([vector]),
                    None if upper is None else upper[None],
                    uniforms_of(noise, level, sample, window.first_new, window.end),
                    choose_with(song.sampling[level]),
                )
                stream[window.start : window.end] = sampled[0].numpy()
                for infill in segment.infills:
                    if infill.join_end == window.end:
                        infill.join(stream[None], old[index][None])
            streams.append(stream[None])
        above = join_segments(level_plan.segments, streams)[0]
        codes.append(above[: level_plan.output_tokens])
    return codes


def equals(found: Sequence[Tensor], wanted: Sequence[np.ndarray], row: int = 0) -> bool:
    """Whether a row of what a model made is the slow twin's song."""
    pairs = zip(found, wanted, strict=True)
    return all(np.array_equal(codes[row].cpu().numpy(), want) for codes, want in pairs)
