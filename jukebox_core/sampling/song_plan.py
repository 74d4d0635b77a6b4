"""A song as it is drawn: the windows of each level in tokens, and where it lies in samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from jukebox_core.sampling.segments import Cut, Segment
from jukebox_core.sampling.step_cost import LevelWork
from jukebox_core.sampling.windows import Window
from jukebox_core.units import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class SongTiming:
    """Where the sampled part lies in the whole imagined song, in audio samples."""

    total_samples: int
    offset_samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlan:
    """The windows of one level; all numbers are tokens of that level, per sample.

    The level holds `total_tokens` when its windows are drawn, those that were kept included. The
    first `output_tokens` of them are the song. What follows, if anything, is the lead-out: codes
    that only fill the context of the level below, and are cut off the result.

    `segments` hold the same windows, in one segment unless some are drawn side by side, or parts
    of what is there are drawn again. `cuts` are where they begin, of levels that may be drawn side
    by side.
    """

    total_tokens: int
    output_tokens: int
    windows: tuple[Window, ...]
    hop_tokens: int
    segments: tuple[Segment, ...]
    cuts: tuple[Cut, ...] = ()

    @property
    def kept_tokens(self) -> int:
        """Tokens that are there before anything is drawn, and are not drawn again."""
        return self.total_tokens - sum(window.num_new for window in self.windows)

    def total_work(self, work: LevelWork) -> float:
        """What it costs to draw it, in the unit of `work`."""
        return sum(
            work.of_window(segment.drawn(number), segment=place)
            for place, segment in enumerate(self.segments)
            for number in range(len(segment.windows))
        )

    def beginning_work(self, work: LevelWork) -> float:
        """What of it its windows cost before their first token."""
        return sum(
            work.of_beginning(segment.drawn(number))
            for segment in self.segments
            for number in range(len(segment.windows))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SongPlan:
    """A song in audio samples and tokens.

    `levels` has the levels that are drawn, coarsest first. `total_samples` is the whole imagined
    song, of which `num_audio_samples` are heard from `offset_samples` on.
    """

    levels: Mapping[Level, LevelPlan]
    total_samples: int
    offset_samples: int
    num_audio_samples: int

    @property
    def timing(self) -> SongTiming:
        """What windows are timed by."""
        return SongTiming(total_samples=self.total_samples, offset_samples=self.offset_samples)
