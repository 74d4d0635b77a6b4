"""How far is a model in reduced precision from itself in fp32?"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.model import LABELS
from bench.priors import INT8, PRECISIONS, in_precision
from bench.report import Figures, print_table, significant
from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.native.backend import NativeBackend
from jukebox_core.model import JukeboxModel
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.song_plan import SongTiming
from jukebox_core.sampling.window_inputs import window_label_rows, window_upper_codes
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae.long_audio import encode_chunked
from recipes.mini.synth import compose

NATIVE_INT8 = "int8 native"
FIRST_SEED = 7_000_000
"""Far from the seeds of the songs that models are trained and judged with."""
Window = tuple[Tensor, Tensor, Tensor | None]
"""True codes int64 [N, context_tokens], labels int64 [N, W] and upper codes int64
[N, upper_context_tokens], as a prior reads them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which priors of a model, on how many songs."""
    parser.add_argument("model", type=Path, help="a model directory, or mini")
    parser.add_argument("--levels", nargs="+", choices=LABELS, default=LABELS)
    parser.add_argument("--songs", type=int, default=12, help="each gives a window to every level")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--native", action="store_true", help="int8 in C as well, step by step")


def measure(options: argparse.Namespace) -> Figures:
    """Print a table for each level."""
    model = JukeboxModel.from_pretrained(options.model, dtype=torch.float32)
    windows = true_windows(model, options.songs)
    rows = []
    for level in [each for each in COARSE_TO_FINE if each.label in options.levels]:
        priors = {name: in_precision(model.prior(level), name) for name in PRECISIONS}
        if options.native:
            priors[NATIVE_INT8] = priors[INT8]
        found = distances(priors, windows[level])
        print_table(found)
        rows += found
    return {"model": model.config.name, "songs": options.songs, "distances": rows}


@torch.inference_mode()
def true_windows(model: JukeboxModel, num_songs: int) -> Mapping[Level, list[Window]]:
    """One window of each song at every level, at a place that its seed chooses.

    The songs are composed, a little longer than the longest window, and encoded by the codec.
    """
    time_base = model.config.time_base
    longest_sec = max(
        time_base.tokens_to_seconds(config.context_tokens, config.level)
        for config in model.config.priors
    )
    windows: dict[Level, list[Window]] = {level: [] for level in COARSE_TO_FINE}
    for seed in range(FIRST_SEED, FIRST_SEED + num_songs):
        duration_sec = max(1.5 * longest_sec, 3.0)
        song = compose(seed, duration_sec=duration_sec, sample_rate_hz=time_base.sample_rate_hz)
        hop = time_base.samples_per_token[Level.TOP]
        audio = torch.from_numpy(np.array(song.audio[: len(song.audio) // hop * hop]))
        codes = {level: encode_chunked(model.vqvae, audio[None, :, None], level) for level in Level}
        labels = model.tokenizer(song.artist, song.genre, song.lyrics)
        timing, generator = SongTiming(total_samples=len(audio)), np.random.default_rng(seed)
        for level, done in windows.items():
            prior, upper = model.prior(level), None if level.upper is None else codes[level.upper]
            size, step = prior.config.context_tokens, time_base.tokens_per_upper_token(level)
            start = int(generator.integers((codes[level].shape[1] - size) // step + 1)) * step
            label_rows = window_label_rows(prior, labels.for_level(level), timing, start)
            upper = window_upper_codes(prior, upper, start)
            done.append((codes[level][:, start : start + size], label_rows, upper))
    return windows


@torch.inference_mode()
def distances(priors: Mapping[str, JukeboxPrior], windows: Sequence[Window]) -> list[Figures]:
    """How far each precision is from the first, fp32; every place has read the true codes.

    `kl_bits` is the mean of KL(fp32 || other) per token, `argmax_differs` the share of tokens whose
    most probable code is another one, `rise_bits` how much worse the true codes are guessed.
    """
    first = next(iter(priors))
    found: dict[str, list[Tensor]] = {name: [] for name in priors}
    for window in windows:
        logs = {
            name: _log2_probabilities(
                _native_logits(prior, window) if name == NATIVE_INT8 else _logits(prior, window)
            )
            for name, prior in priors.items()
        }
        exact, codes = logs[first], priors[first].codes_to_ids(window[0])[..., None]
        for name, log in logs.items():
            figures = (
                (exact.exp2() * (exact - log)).sum(dim=-1),
                (exact.argmax(dim=-1) != log.argmax(dim=-1)).double(),
                -log.gather(-1, codes)[..., 0],
                (exact - log).gather(-1, codes)[..., 0],
            )
            found[name].append(torch.stack(figures).flatten(1))
    return [_row(prior, name, torch.cat(found[name], dim=1)) for name, prior in priors.items()]


def _row(prior: JukeboxPrior, name: str, tokens: Tensor) -> Figures:
    """`tokens` float64 [4, number of tokens]: what `distances` finds of each."""
    divergence, other_argmax, bits, rise = tokens
    stacks = [prior.transformer]
    if prior.lyric_encoder is not None:
        stacks.append(prior.lyric_encoder.transformer)
    return {
        "level": prior.config.level.label,
        "precision": name,
        "tokens": tokens.shape[1],
        "kl_bits": significant(divergence.mean().item(), 3),
        "kl_bits_99th": significant(divergence.quantile(0.99).item(), 3),
        "argmax_differs": significant(other_argmax.mean().item(), 3),
        "bits_per_token": significant(bits.mean().item(), 3),
        "rise_bits": significant(rise.mean().item(), 3),
        "stack_mb": round(sum(_num_bytes(stack) for stack in stacks) / 1e6, 2),
        "prior_mb": round(_num_bytes(prior) / 1e6, 2),
    }


def _logits(prior: JukeboxPrior, window: Window) -> Tensor:
    """float32 [N, T, V] of the music."""
    logits: Tensor = prior(*window).logits[:, prior.config.num_prefix_tokens :]
    return logits


def _native_logits(prior: JukeboxPrior, window: Window) -> Tensor:
    """The same as the native backend steps through the window."""
    codes, labels, upper = window
    ids, slots = prior.codes_to_ids(codes), torch.arange(len(codes))
    backend = NativeBackend(prior, SlotMemory(prior, len(codes), codes.device))
    logits = [backend.prefill(codes[:, :0], prior.condition(labels, upper), slots)]
    for position in range(1, codes.shape[1]):
        logits.append(backend.decode(ids[:, position - 1], slots * 0 + position, slots))
    return torch.stack(logits, dim=1)


def _log2_probabilities(logits: Tensor) -> Tensor:
    """float64, of logits [N, T, V]."""
    logs: Tensor = logits.double().log_softmax(dim=-1)
    return logs / math.log(2.0)


def _num_bytes(module: torch.nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())
