"""Whole songs through the engine, level after level: what a worker draws, without the service."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from bench.machine import wait_for
from bench.ways import Way
from jukebox_core.config import JukeboxConfig
from jukebox_core.engine import Engine, Sequence
from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import LevelPlan, SongPlan
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.sampling.segments import Segment, join_segments
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

Codes = NDArray[np.int64]


@dataclass(slots=True)
class _Chain:
    """One segment of one song: windows that read each other, and how far they are drawn."""

    song: int
    number: int
    segment: Segment
    codes: Codes
    next_window: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SongsInEngine:
    """The same song with several seeds at once, with random words where there is room for any."""

    config: JukeboxConfig
    priors: Mapping[Level, JukeboxPrior]
    plan: SongPlan
    num_songs: int
    device: torch.device
    way: Way
    seconds: dict[Level, float] = field(default_factory=dict)

    def draw(self) -> dict[Level, Codes]:
        """Codes of every level, int64 [num_songs, total_tokens]; `seconds` says what each took."""
        codes: dict[Level, Codes] = {}
        for level in self.plan.levels:
            upper = None if level.upper is None else codes[level.upper]
            wait_for(self.device)
            started = time.perf_counter()
            codes[level] = self._draw_level(level, upper)
            wait_for(self.device)
            self.seconds[level] = time.perf_counter() - started
        return codes

    def _draw_level(self, level: Level, upper: Codes | None) -> Codes:
        plan = self.plan.levels[level]
        engine = Engine(
            {level: self.priors[level]},
            max_rows=num_rows(plan, self.num_songs),
            device=self.device,
            **self.way.engine_options(self.device),
        )
        chains = {
            f"{song}:{number}": _Chain(
                song, number, segment, np.zeros(plan.total_tokens, dtype=np.int64)
            )
            for song in range(self.num_songs)
            for number, segment in enumerate(plan.segments)
        }
        for name, chain in chains.items():
            engine.submit(self._sequence(level, name, chain, upper))
        while engine.has_work:
            for update in engine.step():
                chain = chains[update.id]
                if update.codes is None:
                    raise update.error or RuntimeError(f"window {update.id} drew nothing")
                window = chain.segment.drawn(chain.next_window)
                chain.codes[window.first_new : window.end] = update.codes
                chain.next_window += 1
                if chain.next_window < len(chain.segment.windows):
                    engine.submit(self._sequence(level, update.id, chain, upper))
        return np.concatenate([_joined(plan, chains, song) for song in range(self.num_songs)])

    def _sequence(self, level: Level, name: str, chain: _Chain, upper: Codes | None) -> Sequence:
        prior, window = self.config.prior(level), chain.segment.drawn(chain.next_window)
        labels = window_labels(
            prior,
            _song_labels(self.config, level),
            total_samples=self.plan.total_samples,
            offset_samples=self.plan.offset_samples,
            start_token=window.start,
        )
        above = None
        if upper is not None:
            start = window.start // self.config.time_base.tokens_per_upper_token(level)
            above = upper[chain.song, start : start + prior.upper_context_tokens]
        return Sequence(
            id=name,
            level=level,
            labels=labels,
            prefix_codes=chain.codes[window.start : window.first_new],
            upper_codes=above,
            start_token=window.start,
            num_new=window.num_new,
            sample=0,
            params=SamplingParams(),
            noise=CounterNoise(chain.song),
            backend=self.way.backend,
        )


def num_rows(plan: LevelPlan, num_songs: int) -> int:
    """Rows that a level of so many songs steps together: one for each segment."""
    return num_songs * len(plan.segments)


def _joined(plan: LevelPlan, chains: Mapping[str, _Chain], song: int) -> Codes:
    streams = [chains[f"{song}:{number}"].codes[None] for number in range(len(plan.segments))]
    return join_segments(plan.segments, streams)


def _song_labels(config: JukeboxConfig, level: Level) -> SongLabels:
    """An artist, a genre, and lyrics of as many characters as a window reads."""
    lyrics = config.prior(level).lyrics
    count = 0 if lyrics is None else lyrics.num_tokens
    return SongLabels(
        artist_id=1, genre_ids=(1,), lyric_ids=tuple(1 + n % 26 for n in range(count))
    )
