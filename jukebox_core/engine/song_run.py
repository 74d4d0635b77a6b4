"""One song on its way through an engine: what is ready to be sampled, and what is there already.

A state machine of plain numbers and arrays: it knows neither torch nor who drives it. Whoever does
asks for the windows that can begin, hands their sequences to an `Engine`, and gives back the codes.
"""

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jukebox_core.channels import noise_sample, rows_of_level
from jukebox_core.config import JukeboxConfig
from jukebox_core.engine.level_run import LevelRun, SegmentRun
from jukebox_core.engine.overlap import LevelState, upper_tokens_needed
from jukebox_core.engine.sequence import Sequence
from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.sampling.label_spans import LabelSpan, span_at
from jukebox_core.sampling.song_plan import SongPlan, SongTiming
from jukebox_core.sampling.windows import Window
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level

if TYPE_CHECKING:
    from jukebox_core.sampling.noise import NoiseSource

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SongInputs:
    """Everything about a song that is known before a code is sampled.

    id            begins the ids of its sequences
    labels        of each row of the finer levels, as top, middle and bottom read them; the top has
                  the first of them (`jukebox_core/channels.py`)
    timings       of each take; None: the plan's for all
    noise         the numbers by which its codes are chosen
    spans         what windows are told instead of `labels` and `timings`, stretch by stretch
    first_sample  the number of the first take for the noise
    backend       computes its tokens; None leaves that to the engine
    num_channels  of the finer levels
    """

    id: str
    config: JukeboxConfig
    plan: SongPlan
    sampling: Mapping[Level, SamplingParams]
    labels: Rows[tuple[SongLabels, ...]]
    noise: "NoiseSource"
    timings: Rows[SongTiming] | None = None
    spans: Rows[LabelSpan] = ()
    first_sample: int = 0
    backend: str | None = None
    num_channels: int = 1

    @property
    def num_takes(self) -> int:
        """Rows of the top level."""
        return len(self.labels) // self.num_channels


@dataclass(frozen=True, slots=True, eq=False)
class WindowRun:
    """A window of all rows that is being sampled.

    `window` is what the song keeps of it; before that come `warm_up_tokens` that it does not keep.
    """

    level: LevelRun
    segment: SegmentRun
    window: Window
    warm_up_tokens: int
    sequences: tuple[Sequence, ...]


class SongRun:
    """The levels of one song; each must be opened before its windows can begin."""

    def __init__(self, inputs: SongInputs) -> None:
        self.inputs = inputs
        self._levels: dict[Level, LevelRun] = {}

    def open(self, level: Level, prompt: Codes | None = None) -> LevelRun:
        """Begin a level with what is given of it, int64 [rows or 1, n].

        It is kept as it is, apart from the infills of the plan.
        """
        plan = self.inputs.plan.levels[level]
        num_rows = rows_of_level(level, self.inputs.num_takes, self.inputs.num_channels)
        codes = np.zeros((num_rows, plan.total_tokens), dtype=np.int64)
        if prompt is not None:
            codes[:, : prompt.shape[1]] = prompt
        self._levels[level] = LevelRun(level, plan, codes)
        return self._levels[level]

    def __getitem__(self, level: Level) -> LevelRun:
        return self._levels[level]

    def __contains__(self, level: Level) -> bool:
        return level in self._levels

    @property
    def levels(self) -> list[LevelRun]:
        """Those that are open."""
        return list(self._levels.values())

    @property
    def is_done(self) -> bool:
        """All windows of all open levels are there."""
        return all(level.is_done for level in self._levels.values())

    def states(self, levels: Collection[LevelRun]) -> list[LevelState]:
        """Where these levels stand, for who decides which go on (see `overlap.py`)."""
        return [
            LevelState(
                level=each.level,
                is_done=each.is_done,
                is_busy=each.is_busy,
                can_begin=any(self._has_upper(each, segment) for segment in each.idle_segments),
            )
            for each in levels
        ]

    def begin(self, level: Level) -> list[WindowRun]:
        """The next window of every segment of a level that is idle, with the sequences to submit.

        What lies above them must be there, see `states`.
        """
        run = self._levels[level]
        return [self._begin(run, segment) for segment in run.idle_segments]

    def _begin(self, level: LevelRun, segment: SegmentRun) -> WindowRun:
        window = WindowRun(
            level=level,
            segment=segment,
            window=segment.next_window,
            warm_up_tokens=segment.warm_up_tokens,
            sequences=self._sequences(level.level, segment.next_sampled, segment.codes),
        )
        segment.begin(window.sequences)
        return window

    def _sequences(self, level: Level, window: Window, codes: Codes) -> tuple[Sequence, ...]:
        """One window of every row; `codes` int64 [rows, T] are there up to its new tokens."""
        inputs, upper = self.inputs, self._upper(level)
        above = self._places_above(level, window)
        labels = self._label_vectors(level, window, len(codes))
        return tuple(
            Sequence(
                id=f"{inputs.id}:{level.label}:{window.start}:{row}",
                level=level,
                labels=labels[row],
                prefix_codes=codes[row, window.start : window.first_new],
                upper_codes=None if upper is None else upper.codes[row % len(upper.codes), above],
                start_token=window.start,
                num_new=window.num_new,
                sample=noise_sample(row, inputs.num_takes, inputs.first_sample),
                params=inputs.sampling[level],
                noise=inputs.noise,
                backend=inputs.backend,
            )
            for row in range(len(codes))
        )

    def _label_vectors(self, level: Level, window: Window, num_rows: int) -> list[tuple[int, ...]]:
        """What each row's prior is told about a window; the same songs are told the same."""
        inputs = self.inputs
        if inputs.spans:
            return self._span_label_vectors(level, window, num_rows)
        labels_of_rows = [labels[COARSE_TO_FINE.index(level)] for labels in inputs.labels]
        timings = inputs.timings or [inputs.plan.timing] * inputs.num_takes
        rows = [(labels_of_rows[row], timings[row % len(timings)]) for row in range(num_rows)]
        vectors: dict[tuple[SongLabels, SongTiming], tuple[int, ...]] = {}
        for labels, timing in set(rows):
            vectors[labels, timing] = window_labels(
                inputs.config.prior(level),
                labels,
                total_samples=timing.total_samples,
                offset_samples=timing.offset_samples,
                start_token=window.start,
            )
        return [vectors[row] for row in rows]

    def _span_label_vectors(
        self, level: Level, window: Window, num_rows: int
    ) -> list[tuple[int, ...]]:
        """The same for a song in parts: what holds where the window's new tokens begin."""
        prior = self.inputs.config.prior(level)
        span = span_at(self.inputs.spans, window.first_new * prior.samples_per_token)
        timing = span.timing_for(prior, window.start)
        vectors = [
            window_labels(
                prior,
                labels[COARSE_TO_FINE.index(level)],
                total_samples=timing.total_samples,
                offset_samples=timing.offset_samples,
                start_token=window.start,
            )
            for labels in span.channels
        ]
        return [vectors[row // self.inputs.num_takes % len(vectors)] for row in range(num_rows)]

    def _places_above(self, level: Level, window: Window) -> NDArray[np.int64]:
        """Of the codes that a window reads; below the end of a song it reads the beginning again.

        Only segments come so near to the end. Whatever stands there, it is none of their sound.
        """
        config, upper = self.inputs.config, self._upper(level)
        start = window.start // config.time_base.tokens_per_upper_token(level)
        places = np.arange(start, start + config.prior(level).upper_context_tokens)
        return places if upper is None else places % upper.plan.total_tokens

    def _upper(self, level: Level) -> LevelRun | None:
        return None if level.upper is None else self._levels[level.upper]

    def _has_upper(self, level: LevelRun, segment: SegmentRun) -> bool:
        upper = self._upper(level.level)
        if upper is None or upper.is_done:
            return True
        if level.is_segmented:
            return False
        needed = upper_tokens_needed(
            self.inputs.config, level.level, segment.next_sampled, upper.plan.total_tokens
        )
        return needed <= upper.end
