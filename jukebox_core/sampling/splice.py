"""A song put together from stretches of others, cut where a token of the top level begins.

Plain numbers: the codes may lie in tensors, arrays or files, and whoever has them cuts and joins
them as `SplicePlan` says. No code is changed, at any level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jukebox_core.errors import SongError
from jukebox_core.sampling.infill import JOIN_SEC, Infill
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

MAX_PARTS = 64
"""Parts of one song at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is wanted of a source: from `start_sec` on, to `end_sec` or, if None, to its end.

    `num_tokens` are the codes that the source has of each level, from its beginning on. Stretches
    with the same `source` are cut out of the same song.
    """

    source: str
    num_tokens: Mapping[Level, int]
    start_sec: float = 0.0
    end_sec: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPart:
    """Top tokens [start, end) of a source, which begin at top token `position` of the new song."""

    source: str
    start: int
    end: int
    position: int

    def tokens(self, time_base: TimeBase, level: Level) -> slice:
        """The part's codes of a level in its source."""
        ratio = time_base.tokens_per_top_token(level)
        return slice(self.start * ratio, self.end * ratio)

    @property
    def position_end(self) -> int:
        """Where the part ends in the new song."""
        return self.position + self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class SplicePlan:
    """The parts of a song in order, and the levels that all of them have, coarsest first."""

    parts: tuple[PlacedPart, ...]
    levels: tuple[Level, ...]

    @property
    def num_top_tokens(self) -> int:
        """The length of the song."""
        return self.parts[-1].position_end

    @property
    def joins(self) -> tuple[int, ...]:
        """Top tokens at which one part follows another that it did not follow in its source."""
        return tuple(
            part.position
            for before, part in pairwise(self.parts)
            if (before.source, before.end) != (part.source, part.start)
        )

    def num_tokens(self, time_base: TimeBase) -> dict[Level, int]:
        """Codes of each level that the song begins with."""
        return {
            level: self.num_top_tokens * time_base.tokens_per_top_token(level)
            for level in self.levels
        }


def plan_splice(time_base: TimeBase, stretches: Sequence[Stretch]) -> SplicePlan:
    """Where each part is cut out, and where it comes to lie.

    Each moment is moved to the nearest border of two top tokens, the later one of two that are
    equally near (see `TimeBase.border_of_song`). A level is kept if every part has all codes of
    it, and of the levels above.

    Raises:
        SongError: there are no parts or too many; a part is empty, or is not inside its source.
            `field` is `parts` or `parts.N.start_sec` or `parts.N.end_sec`.
    """
    if not 1 <= len(stretches) <= MAX_PARTS:
        raise SongError(
            f"{len(stretches)} parts: a song is put together from 1 to {MAX_PARTS}", field="parts"
        )
    parts: list[PlacedPart] = []
    for number, stretch in enumerate(stretches):
        start, end = _borders(time_base, stretch, f"parts.{number}")
        position = parts[-1].position_end if parts else 0
        parts.append(PlacedPart(source=stretch.source, start=start, end=end, position=position))
    return SplicePlan(parts=tuple(parts), levels=_common_levels(time_base, stretches, parts))


def _borders(time_base: TimeBase, stretch: Stretch, field: str) -> tuple[int, int]:
    """The first top token of a stretch, and that after its last. Raises SongError."""
    num_top_tokens = stretch.num_tokens.get(Level.TOP, 0)
    has_sec = time_base.tokens_to_seconds(num_top_tokens, Level.TOP)
    start = time_base.border_of_song(stretch.start_sec, num_top_tokens)
    if start is None or start >= num_top_tokens:
        raise SongError(
            f"the part starts at {stretch.start_sec:.10g} s, and the source lasts {has_sec:.10g} s",
            field=f"{field}.start_sec",
        )
    if stretch.end_sec is None:
        return start, num_top_tokens
    end = time_base.border_of_song(stretch.end_sec, num_top_tokens)
    if end is None:
        raise SongError(
            f"the part ends at {stretch.end_sec:.10g} s, and the source lasts {has_sec:.10g} s",
            field=f"{field}.end_sec",
        )
    if end <= start:
        one_token_sec = time_base.tokens_to_seconds(1, Level.TOP)
        raise SongError(
            f"from {stretch.start_sec:.10g} s to {stretch.end_sec:.10g} s nothing is left: a part "
            f"is at least one token of the top level long, {one_token_sec:.3g} s",
            field=f"{field}.end_sec",
        )
    return start, end


def _common_levels(
    time_base: TimeBase, stretches: Sequence[Stretch], parts: Sequence[PlacedPart]
) -> tuple[Level, ...]:
    levels: list[Level] = []
    for level in COARSE_TO_FINE:
        ends = [part.tokens(time_base, level).stop for part in parts]
        found = [stretch.num_tokens.get(level, 0) for stretch in stretches]
        if any(has < end for has, end in zip(found, ends, strict=True)):
            break
        levels.append(level)
    return tuple(levels)


def mend_infills(
    time_base: TimeBase, plan: SplicePlan, mend_sec: float
) -> dict[Level, tuple[Infill, ...]]:
    """What of the levels below the top is sampled again around the joins; none of it for 0 s.

    The middle level is sampled from `mend_sec` before a join to as long behind it, and a little
    further to where new and old codes agree best. The bottom level follows it, and looks for its
    own place behind that. The top stays as it is, and so does everything else.
    """
    if mend_sec <= 0.0:
        return {}
    reach = max(time_base.nearest_top_token(mend_sec), 1)
    infills: dict[Level, list[Infill]] = {level: [] for level in plan.levels[1:]}
    for join in plan.joins:
        start, end = max(join - reach, 0), min(join + reach, plan.num_top_tokens)
        for level in plan.levels[1:]:
            margin = max(time_base.seconds_to_tokens(JOIN_SEC[level], Level.TOP), 1)
            join_end = min(end + margin, plan.num_top_tokens)
            ratio = time_base.tokens_per_top_token(level)
            infills[level].append(Infill(start * ratio, end * ratio, join_end * ratio))
            end = join_end
    return {level: tuple(found) for level, found in infills.items() if found}
