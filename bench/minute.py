"""A minute of music from the first code to the sound: `python -m bench.minute [MODEL]`.

See `bench/README.md`. MODEL is a released one, made with random weights on the spot, or `tiny`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.engine_song import SongsInEngine, num_rows
from bench.engine_steps import our_run
from bench.floor import floor_sec, step_work
from bench.full_size import peak_bytes, random_prior, watch_peak
from bench.machine import device_name, wait_for
from bench.pairs_of_priors import PriorPair
from bench.precisions import FP32, INT8, compute_dtype
from bench.ways import Way, way_of, ways_on
from jukebox_core.config import JukeboxConfig
from jukebox_core.models.placed_priors import prior_needs
from jukebox_core.models.released import RELEASED_MODELS, released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import LevelPlan, SongPlan, default_song_duration_sec, plan_song
from jukebox_core.song import Song, Speed
from jukebox_core.tiny import tiny_config
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

TINY = "tiny"
_SOUND_SEC = 10.0
"""Of sound are made to know what a second of it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A model with random weights, in one precision."""

    config: JukeboxConfig
    priors: Mapping[Level, JukeboxPrior]
    vqvae: JukeboxVQVAE
    precision: str
    device: torch.device
    way: Way


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a line of JSON as soon as it is known, and all of it in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    told: dict[str, Any] = {
        "machine": device_name(device),
        "device": str(device),
        "torch": torch.__version__,
        "model": options.model,
        "song_seconds": options.seconds,
        "rows": [],
    }
    way = way_of(options.step) if options.step else ways_on(device)[-1]
    told["step"] = way.name
    for precision in options.precision:
        parts = _random_parts(options.model, precision, device, way)
        for speed in options.speed:
            for num_songs in options.songs:
                plan = plan_of(parts.config, options.seconds, Speed(speed))
                figures = estimate(parts, plan, num_songs, options.tokens)
                if options.draw:
                    figures |= drawn(parts, plan, num_songs)
                row = {"precision": precision, "speed": speed, "songs": num_songs, **figures}
                print(json.dumps(row))
                told["rows"].append(row)
        del parts
    print(json.dumps(told))


@torch.inference_mode()
def estimate(parts: Parts, plan: SongPlan, num_songs: int, num_tokens: int) -> dict[str, Any]:
    """What songs take, from some steps and beginnings of windows of each level.

    Every step of a level is as long as the median of `num_tokens` in the middle of a window, with
    as many rows as there are songs and segments; the beginnings of windows come on top.
    """
    levels = {
        level.label: _estimate_level(parts, level, level_plan, num_songs, num_tokens)
        for level, level_plan in plan.levels.items()
    }
    sound_sec = _sound_sec(parts, plan.num_audio_samples) * num_songs
    total_sec = sum(level["seconds"] for level in levels.values()) + sound_sec
    floor = sum(level["floor_seconds"] for level in levels.values())
    return {
        "levels": levels,
        "sound_seconds": round(sound_sec, 3),
        "estimated_seconds": round(total_sec, 3),
        "floor_seconds": float(f"{floor:.4g}"),
        "music_seconds_per_second": _music_per_sec(parts, plan, num_songs, total_sec),
    }


def _estimate_level(
    parts: Parts, level: Level, plan: LevelPlan, num_songs: int, num_tokens: int
) -> dict[str, Any]:
    prior, rows = parts.priors[level], num_rows(plan, num_songs)
    pair = PriorPair(name=level.label, theirs=None, ours=prior)
    prefix = _usual_prefix(plan)
    room = prior.config.context_tokens - prefix
    watch_peak(parts.device)
    run = our_run(
        prior,
        pair.labels(rows),
        pair.upper_codes(rows),
        max(min(num_tokens, room), 2),
        prefix_tokens=prefix,
        backend=parts.way.backend,
        **parts.way.engine_options(parts.device),
    )
    peak = peak_bytes(parts.device)
    begin_sec = {n: _begin_sec(pair, n) for n in {0, prefix}}
    works = [
        [segment.drawn(number) for number in range(len(segment.windows))]
        for segment in plan.segments
    ]
    num_steps = max(sum(window.num_new for window in windows) for windows in works)
    beginnings = num_songs * sum(
        begin_sec[prefix if window.num_prefix else 0] for windows in works for window in windows
    )
    needs = prior_needs(prior.config, prior.compute_dtype, int8_weights=parts.precision == INT8)
    floor = floor_sec(step_work(prior, rows), parts.device)
    return {
        "rows": rows,
        "steps": num_steps,
        "windows": num_songs * sum(len(windows) for windows in works),
        "step_ms": round(1e3 * run.step_sec, 4),
        "floor_ms": round(1e3 * floor, 4),
        "begin_ms": {str(n): round(1e3 * each, 2) for n, each in sorted(begin_sec.items())},
        "warm_up_seconds": round(run.warm_up_sec, 4),
        "seconds": round(num_steps * run.step_sec + beginnings, 3),
        "floor_seconds": float(f"{num_steps * floor:.4g}"),
        "planned_mb": round(needs.total_bytes(rows) / 1e6, 1),
        "peak_mb": None if peak is None else round(peak / 1e6, 1),
    }


def _usual_prefix(plan: LevelPlan) -> int:
    """What most windows begin with that begin with anything."""
    prefixes = [window.num_prefix for window in plan.windows if window.num_prefix]
    return statistics.mode(prefixes) if prefixes else 0


def _begin_sec(pair: PriorPair, prefix_tokens: int) -> float:
    """Seconds until the first logits of a window of one row: conditioning, and the pass over what
    it begins with.
    """
    prior, device = pair.ours, pair.ours.position_embedding.device
    labels, upper = pair.labels(1).to(device), pair.upper_codes(1)
    upper = None if upper is None else upper.to(device)
    cache, slots = prior.allocate_cache(1), torch.zeros(1, dtype=torch.int64, device=device)
    codes = torch.zeros(1, prefix_tokens, dtype=torch.int64, device=device)
    seconds = []
    for _ in range(3):
        wait_for(device)
        started = time.perf_counter()
        prior.prefill(codes, prior.condition(labels, upper), cache, slots)
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _sound_sec(parts: Parts, num_samples: int) -> float:
    """Seconds that the sound of the finest level takes, from some of it."""
    config = parts.vqvae.config
    some = min(num_samples, round(_SOUND_SEC * config.sample_rate_hz))
    num_tokens = max(some // config.samples_per_token[Level.BOTTOM], 1)
    codes = torch.zeros(1, num_tokens, dtype=torch.int64, device=parts.device)
    wait_for(parts.device)
    started = time.perf_counter()
    parts.vqvae.decode_chunked(codes, Level.BOTTOM)
    wait_for(parts.device)
    spent = time.perf_counter() - started
    return spent * num_samples / (num_tokens * config.samples_per_token[Level.BOTTOM])


@torch.inference_mode()
def drawn(parts: Parts, plan: SongPlan, num_songs: int) -> dict[str, Any]:
    """The same songs drawn, every code of them, and made sound."""
    songs = SongsInEngine(
        config=parts.config,
        priors=parts.priors,
        plan=plan,
        num_songs=num_songs,
        device=parts.device,
        way=parts.way,
    )
    watch_peak(parts.device)
    started = time.perf_counter()
    codes = songs.draw()[Level.BOTTOM]
    heard = torch.as_tensor(codes[:, : plan.levels[Level.BOTTOM].heard_tokens])
    parts.vqvae.decode_chunked(heard.to(parts.device), Level.BOTTOM)
    wait_for(parts.device)
    total_sec = time.perf_counter() - started
    peak = peak_bytes(parts.device)
    return {
        "drawn_levels": {level.label: round(sec, 3) for level, sec in songs.seconds.items()},
        "drawn_seconds": round(total_sec, 3),
        "drawn_music_seconds_per_second": _music_per_sec(parts, plan, num_songs, total_sec),
        "drawn_peak_mb": None if peak is None else round(peak / 1e6, 1),
    }


def _music_per_sec(parts: Parts, plan: SongPlan, num_songs: int, total_sec: float) -> float:
    music_sec = num_songs * plan.num_audio_samples / parts.config.vqvae.sample_rate_hz
    return float(f"{music_sec / total_sec:.4g}")


def plan_of(config: JukeboxConfig, seconds: float, speed: Speed) -> SongPlan:
    """A song of so many seconds at the beginning of one at least three times as long."""
    whole_sec = default_song_duration_sec(config, seconds, 0.0)
    song = Song(
        artist="",
        genre="",
        lyrics="",
        duration_sec=seconds,
        song_duration_sec=max(whole_sec, 3 * seconds),
        speed=speed,
    )
    return plan_song(config, song, lead_out=True)


def _random_parts(model: str, precision: str, device: torch.device, way: Way) -> Parts:
    config = tiny_config() if model == TINY else released_config(model)
    priors = dict(_random_priors(config, precision, device))
    torch.manual_seed(0)
    vqvae = JukeboxVQVAE(config.vqvae).to(device).eval()
    return Parts(
        config=config, priors=priors, vqvae=vqvae, precision=precision, device=device, way=way
    )


def _random_priors(
    config: JukeboxConfig, precision: str, device: torch.device
) -> Iterator[tuple[Level, JukeboxPrior]]:
    for level in COARSE_TO_FINE:
        prior = random_prior(config.prior(level), device, compute_dtype(precision, device))
        yield level, prior.use_int8_weights() if precision == INT8 else prior


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.minute", description=__doc__)
    parser.add_argument("model", nargs="?", choices=(TINY, *RELEASED_MODELS), default="5b_lyrics")
    parser.add_argument("--seconds", type=float, default=60.0, help="of music in a song")
    parser.add_argument("--songs", type=int, nargs="+", default=[1], help="at once")
    parser.add_argument("--speed", nargs="+", choices=list(Speed), default=list(Speed))
    parser.add_argument(
        "--precision", nargs="+", choices=(FP32, "fp16", "bf16", INT8), default=["fp16"]
    )
    parser.add_argument("--step", help="torch, native, 'torch graph' ...; the last that is there")
    parser.add_argument("--tokens", type=int, default=256, help="steps measured at each level")
    parser.add_argument("--draw", action="store_true", help="draw every code as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
