"""One level of a song while it is sampled: its segments, its codes, and how far it is. No torch."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jukebox_core.engine.sequence import Sequence
from jukebox_core.sampling.segments import Segment, join_segments
from jukebox_core.sampling.song_plan import LevelPlan
from jukebox_core.sampling.step_cost import LevelWork, SampledWork
from jukebox_core.sampling.windows import Window
from jukebox_core.units import Level


@dataclass(slots=True, eq=False)
class SegmentRun:
    """A segment of a level, its codes int64 [rows, total_tokens], and how far it is.

    `given` are the codes before anything is sampled, which infills go back to behind their end.
    `at` is the number of windows that are in `codes`, and the sequences of the next one while it is
    sampled: one value, so that other threads see both as they belong together.
    """

    segment: Segment
    codes: NDArray[np.int64]
    given: NDArray[np.int64]
    at: tuple[int, tuple[Sequence, ...]] = (0, ())

    @property
    def num_taken(self) -> int:
        """Windows that are there."""
        return self.at[0]

    @property
    def is_busy(self) -> bool:
        """Its next window is being sampled."""
        return bool(self.at[1])

    @property
    def has_begun(self) -> bool:
        """Some row of its next window has a token."""
        return any(sequence.num_sampled for sequence in self.at[1])

    @property
    def is_done(self) -> bool:
        """All windows are there."""
        return self.num_taken == len(self.segment.windows)

    @property
    def next_window(self) -> Window:
        """The window that comes now, as the song keeps it."""
        return self.segment.windows[self.num_taken]

    @property
    def next_sampled(self) -> Window:
        """The same as it is sampled: with the warm-up."""
        return self.segment.drawn(self.num_taken)

    @property
    def warm_up_tokens(self) -> int:
        """Tokens that the next window samples and the song does not keep."""
        return self.segment.warm_up_of(self.num_taken)

    @property
    def num_tokens(self) -> int:
        """Tokens of the song, per row, in the windows that are there, or under way by now."""
        num_taken, sequences = self.at
        taken = sum(window.num_new for window in self.segment.windows[:num_taken])
        if not sequences:
            return taken
        sampled = sum(sequence.num_sampled for sequence in sequences) // len(sequences)
        return taken + max(sampled - self.segment.warm_up_of(num_taken), 0)

    def sampled(self) -> list[tuple[Window, float]]:
        """Its windows as they are sampled, warm-up included, and how many tokens each row has."""
        num_taken, sequences = self.at
        windows = [self.segment.drawn(number) for number in range(len(self.segment.windows))]
        counts = [float(window.num_new) for window in windows[:num_taken]]
        if sequences:
            counts.append(sum(each.num_sampled for each in sequences) / len(sequences))
        return list(zip(windows, [*counts, *[0.0] * (len(windows) - len(counts))], strict=True))

    @property
    def end(self) -> int:
        """So many tokens per row, from the beginning of the song on, will not change any more."""
        if self.is_done:
            return self.segment.windows[-1].end
        first_new = self.next_window.first_new
        unjoined = [
            each.end for each in self.segment.infills if each.start < first_new < each.join_end
        ]
        return min([first_new, *unjoined])

    def begin(self, sequences: tuple[Sequence, ...]) -> None:
        """The next window is being sampled."""
        self.at = (self.num_taken, sequences)

    def preview(self, codes: NDArray[np.int64]) -> int:
        """The first of the next window's codes are there: int64 [rows, n], n at most all of them.

        Nothing counts as there by this. Returns the tokens of the song that will not change any
        more, from its beginning on.
        """
        if self.segment.infills:
            return self.end
        first = self.next_sampled.first_new
        end: int = first + codes.shape[1]
        self.codes[:, first:end] = codes
        return max(end, self.end)

    def give_up(self) -> None:
        """The next window is not being sampled any more."""
        self.at = (self.num_taken, ())

    def take(self, codes: NDArray[np.int64]) -> None:
        """The next window is there: int64 [rows, warm-up and new tokens].

        Raises:
            ValueError: they are not as many as the window samples.
        """
        window = self.next_sampled
        self.codes[:, window.first_new : window.end] = codes
        for infill in self.segment.infills:
            if infill.join_end == window.end:
                infill.join(self.codes, self.given)
        self.at = (self.num_taken + 1, ())


@dataclass(slots=True, eq=False)
class LevelRun:
    """The segments of a level, and what it begins with.

    `begun` are codes int64 [rows, total_tokens], of which some are given: see `plan`.
    """

    level: Level
    plan: LevelPlan
    begun: NDArray[np.int64]
    segments: tuple[SegmentRun, ...] = ()
    _joined: NDArray[np.int64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.segments = tuple(
            SegmentRun(each, self.begun.copy(), self.begun) for each in self.plan.segments
        )

    @property
    def is_done(self) -> bool:
        """All windows are there."""
        return all(segment.is_done for segment in self.segments)

    @property
    def is_busy(self) -> bool:
        """Some window is being sampled."""
        return any(segment.is_busy for segment in self.segments)

    @property
    def is_segmented(self) -> bool:
        """Its segments are sampled side by side, and become one song when all are there."""
        return len(self.segments) > 1

    @property
    def num_rows(self) -> int:
        """Sequences that are sampled at the same time."""
        return len(self.begun) * sum(not segment.is_done for segment in self.segments)

    @property
    def idle_segments(self) -> list[SegmentRun]:
        """Segments whose next window is not being sampled yet."""
        return [each for each in self.segments if not each.is_done and not each.is_busy]

    @property
    def num_taken(self) -> int:
        """Windows that are there."""
        return sum(segment.num_taken for segment in self.segments)

    @property
    def num_tokens(self) -> int:
        """Tokens per row that are there, or under way by now; those that stay included."""
        return self.plan.kept_tokens + sum(segment.num_tokens for segment in self.segments)

    def sampled_work(self, work: LevelWork) -> SampledWork:
        """What has been sampled of it and what windows took to begin, in the unit of `work`."""
        beginnings = tokens = begun = 0.0
        for place, segment in enumerate(self.segments):
            for window, num_drawn in segment.sampled():
                if num_drawn:
                    beginnings += work.of_beginning(window)
                    tokens += work.of_tokens(num_drawn, segment=place)
            if segment.is_busy and not segment.has_begun:
                begun += work.of_beginning(segment.next_sampled)
        return SampledWork(beginnings, tokens, begun)

    @property
    def end(self) -> int:
        """So many codes per row, from the beginning on, will not change any more."""
        if self.is_done:
            return self.plan.total_tokens
        first = self.segments[0]
        return first.segment.start if self.is_segmented else first.end

    @property
    def codes(self) -> NDArray[np.int64]:
        """Codes of every row, int64 [rows, total_tokens], of which `end` count."""
        if len(self.segments) == 1:
            return self.segments[0].codes
        if not self.segments or not self.is_done:
            return self.begun
        if self._joined is None:
            streams = [segment.codes for segment in self.segments]
            self._joined = join_segments(self.plan.segments, streams)
        return self._joined

    @property
    def output_codes(self) -> NDArray[np.int64]:
        """Those that count without the padding at the end, int64 [rows, n]."""
        return self.codes[:, : min(self.end, self.plan.output_tokens)]
