"""Bits per token on unheard songs, and how many more when a prior is told something wrong."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jukebox_core.labels import SongLabels
from jukebox_core.model import JukeboxModel
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.song_plan import SongTiming
from jukebox_core.sampling.window_inputs import window_label_rows, window_upper_codes
from jukebox_core.training.dataset.data import Report
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae.long_audio import encode_chunked
from recipes.mini.evaluation.codec import code_use
from recipes.mini.evaluation.ground_truth import KnownSong
from recipes.mini.evaluation.statistics import derangement, mean_of, paired_test, rounded
from recipes.mini.synth import ARTISTS, GENRES

WINDOWS_PER_SONG = {Level.TOP: 2, Level.MIDDLE: 4, Level.BOTTOM: 4}
_WINDOWS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """One window of one song: codes int64 [context], upper codes int64 [upper_context] | None."""

    song: int
    start_token: int
    codes: Tensor
    upper_codes: Tensor | None


def bits_per_level(
    model: JukeboxModel, songs: Sequence[KnownSong], seed: int, report: Report
) -> dict[str, Any]:
    """For every level bits per token beside the unigram entropy, and the rise of each wrong word.

    Windows lie at random places; songs that are shorter than a window of a level are left out
    there. A wrong genre or artist is another one at random, wrong lyrics and upper codes are those
    of another song. The mean and its interval are over songs.

    Returns:
        by level: `bits_per_token`, `unigram_bits`, `rise` by what was wrong, each with a paired
        test over songs.
    """
    generator = np.random.default_rng(seed)
    codes = _codes_of(model, songs)
    figures = {}
    for level in COARSE_TO_FINE:
        report(f"{level.label}: bits per token of {len(songs)} unheard songs")
        windows = _windows(model.prior(level), songs, codes, generator)
        if windows:
            figures[level.label] = _level_figures(model, level, songs, windows, generator)
    return figures


@torch.inference_mode()
def _codes_of(model: JukeboxModel, songs: Sequence[KnownSong]) -> Mapping[Level, list[Tensor]]:
    """int64 [T] of every song at every level, cut to whole top tokens."""
    hop = model.config.time_base.samples_per_token[Level.TOP]
    codes: dict[Level, list[Tensor]] = {level: [] for level in COARSE_TO_FINE}
    for song in songs:
        audio = torch.from_numpy(np.array(song.audio[: len(song.audio) // hop * hop]))
        for level in COARSE_TO_FINE:
            found = encode_chunked(model.vqvae, audio[None, :, None], level)
            codes[level].append(found[0].cpu())
    return codes


def _windows(
    prior: JukeboxPrior,
    songs: Sequence[KnownSong],
    codes: Mapping[Level, list[Tensor]],
    generator: np.random.Generator,
) -> list[_Window]:
    level, size = prior.config.level, prior.config.context_tokens
    step = 1 if prior.config.conditioner is None else prior.config.conditioner.upsampling
    windows = []
    for index in range(len(songs)):
        num_spare = len(codes[level][index]) - size
        if num_spare < 0:
            continue
        for _ in range(WINDOWS_PER_SONG[level]):
            start = int(generator.integers(num_spare // step + 1)) * step
            upper = None if level.upper is None else codes[level.upper][index][None]
            found = window_upper_codes(prior, upper, start)
            windows.append(
                _Window(
                    song=index,
                    start_token=start,
                    codes=codes[level][index][start : start + size],
                    upper_codes=None if found is None else found[0],
                )
            )
    return windows


def _level_figures(
    model: JukeboxModel,
    level: Level,
    songs: Sequence[KnownSong],
    windows: Sequence[_Window],
    generator: np.random.Generator,
) -> dict[str, Any]:
    prior = model.prior(level)
    labels = _labels_of(model, level, songs)
    right = _song_bits(prior, songs, windows, labels)
    rises = {}
    for what, (told, heard) in _wrong(model, level, songs, windows, labels, generator).items():
        rise = _song_bits(prior, songs, heard, told) - right
        rises[what] = paired_test(rise).to_json()
    codes = torch.stack([window.codes for window in windows])
    return {
        "bits_per_token": mean_of(right).to_json(),
        "unigram_bits": code_use(codes, prior.config.num_codes)["unigram_bits"],
        "code_bits": rounded(math.log2(prior.config.num_codes)),
        "windows": len(windows),
        "tokens": codes.numel(),
        "rise": rises,
    }


def _labels_of(model: JukeboxModel, level: Level, songs: Sequence[KnownSong]) -> list[SongLabels]:
    labels = model.tokenizer(
        [song.artist for song in songs],
        [song.genre for song in songs],
        [song.lyrics for song in songs],
    )
    return list(labels.for_level(level))


def _wrong(
    model: JukeboxModel,
    level: Level,
    songs: Sequence[KnownSong],
    windows: Sequence[_Window],
    labels: Sequence[SongLabels],
    generator: np.random.Generator,
) -> dict[str, tuple[list[SongLabels], list[_Window]]]:
    """What to be told and to hear instead: labels of each song, and the windows."""
    genres = [replace(song, genre=_other(song.genre, GENRES, generator)) for song in songs]
    artists = [replace(song, artist=_other(song.artist, ARTISTS, generator)) for song in songs]
    wrong = {
        "genre": (_labels_of(model, level, genres), list(windows)),
        "artist": (_labels_of(model, level, artists), list(windows)),
    }
    config = model.config.prior(level)
    if config.lyrics is not None:
        order = derangement(len(songs), generator)
        lyrics = [
            replace(song, lyric_ids=labels[other].lyric_ids)
            for song, other in zip(labels, order, strict=True)
        ]
        # A song without words, or in place of which none are heard, says nothing about words.
        sung = [
            window
            for window in windows
            if labels[window.song].lyric_ids and lyrics[window.song].lyric_ids
        ]
        wrong["lyrics"] = (lyrics, sung)
    if config.conditioner is not None:
        wrong["upper_codes"] = (list(labels), _with_other_upper_codes(windows, generator))
    return wrong


def _other(name: str, names: Sequence[str], generator: np.random.Generator) -> str:
    others = [other for other in names if other != name]
    return str(others[generator.integers(len(others))])


def _with_other_upper_codes(
    windows: Sequence[_Window], generator: np.random.Generator
) -> list[_Window]:
    """Every window under the upper codes of a window of another song."""
    changed = []
    for window in windows:
        others = [other for other in windows if other.song != window.song]
        if others:
            other = others[generator.integers(len(others))]
            changed.append(replace(window, upper_codes=other.upper_codes))
    return changed


@torch.inference_mode()
def _song_bits(
    prior: JukeboxPrior,
    songs: Sequence[KnownSong],
    windows: Sequence[_Window],
    labels: Sequence[SongLabels],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean bits per token of each song's windows; nan for a song without: float64 [songs]."""
    sums, counts = np.zeros(len(songs)), np.zeros(len(songs))
    for first in range(0, len(windows), _WINDOWS_AT_A_TIME):
        batch = windows[first : first + _WINDOWS_AT_A_TIME]
        bits = _window_bits(prior, songs, batch, labels)
        for window, value in zip(batch, bits.tolist(), strict=True):
            sums[window.song] += value
            counts[window.song] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _window_bits(
    prior: JukeboxPrior,
    songs: Sequence[KnownSong],
    windows: Sequence[_Window],
    labels: Sequence[SongLabels],
) -> Tensor:
    """Mean bits per music token of each window, float32 [windows]."""
    device = prior.token_embedding.weight.device
    rows = torch.cat(
        [
            window_label_rows(
                prior,
                [labels[window.song]],
                SongTiming(total_samples=len(songs[window.song].audio)),
                window.start_token,
            )
            for window in windows
        ]
    )
    codes = torch.stack([window.codes for window in windows]).to(device)
    uppers = [window.upper_codes for window in windows if window.upper_codes is not None]
    upper_codes = torch.stack(uppers).to(device) if uppers else None
    logits = prior(codes, rows.to(device), upper_codes).logits[:, prior.config.num_prefix_tokens :]
    losses = functional.cross_entropy(
        logits.float().transpose(1, 2), prior.codes_to_ids(codes), reduction="none"
    )
    return (losses.mean(dim=1) / math.log(2.0)).cpu()
