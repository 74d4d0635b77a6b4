"""What one song needs at every level, and everything that a model cannot sing.

All limits of a model that a request can break are checked here, in plain Python, before anything
is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelConfig
from jukebox_core.errors import SongError
from jukebox_core.sampling.infill import Infill, plan_infills
from jukebox_core.sampling.kept import check_kept
from jukebox_core.sampling.segments import (
    Cut,
    Segment,
    Stretch,
    plan_cuts,
    segments_of,
    window_cuts,
)
from jukebox_core.sampling.step_cost import LevelWork, StepCosts
from jukebox_core.sampling.windows import Window, hop_tokens
from jukebox_core.song import SamplingParams, Song, Speed
from jukebox_core.units import Level, TimeBase

_FORGIVEN_SAMPLES = 1e-6
"""What binary fractions may add to a bound in seconds times a sample rate."""


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


def plan_song(
    config: JukeboxConfig,
    song: Song,
    done_tokens: Mapping[Level, int] | None = None,
    *,
    padded: bool = False,
    infills: Mapping[Level, Sequence[Infill]] | None = None,
    cuts: Mapping[Level, Sequence[Cut]] | None = None,
) -> SongPlan:
    """Lay out `song` for the model of `config`.

    Args:
        config: the model.
        song: what to sing; its duration includes what is kept.
        done_tokens: codes of each level that are there already, from the beginning on. They are
            kept, and exactly the missing ones are drawn.
        padded: sing songs that are shorter than a window of the middle or bottom level, too.
            An upsampler always reads a full window of codes above; so the levels above draw as
            many codes more than are heard as that takes. Without it such songs are refused.
        infills: parts of what is there that are drawn again, see `infill.py`.
        cuts: where the segments of a song begin that was begun with the speed parallel; levels
            without any are cut at whole windows, as all were before their cuts were kept. None
            plans a song that was not.

    Raises:
        SongError: the model cannot sing it; `field` names the member of `Song` to change, or is
            `codes` where what is kept does not fit.
    """
    _check_finite(song)
    time_base = config.time_base
    num_audio_samples = _audio_samples(time_base, song.duration_sec)
    offset_samples = time_base.seconds_to_samples(song.offset_sec)
    shortest = _shortest_samples_of_levels(config, song, padded=padded)
    _check_shortest(config, song, shortest, num_audio_samples)
    _check_song_duration(config, song)
    total_samples = whole_song_samples(config, song.song_duration_sec)
    end_samples = offset_samples + num_audio_samples
    _check_inside_song(config, song, shortest, total_samples, end_samples)
    done = dict(done_tokens or {})
    check_kept(time_base, song, done)
    plan = SongPlan(
        levels=_plan_levels(config, song, done, infills or {}, cuts, padded=padded),
        total_samples=total_samples,
        offset_samples=offset_samples,
        num_audio_samples=num_audio_samples,
    )
    _check_last_window(config, song, plan)
    _check_padding_inside_song(config, song, plan)
    return plan


def default_song_duration_sec(
    config: JukeboxConfig, duration_sec: float, offset_sec: float
) -> float:
    """The shortest whole song that holds the drawn part and is long enough for the model.

    Says nothing about whether the model can sing it: `plan_song` does.
    """
    labels = config.prior(Level.TOP).labels
    minimum_sec = labels.min_duration_sec if labels is not None else 0.0
    excerpt_sec = offset_sec + duration_sec
    if not math.isfinite(excerpt_sec):
        return minimum_sec
    # Offset and duration are cut to samples one by one, their sum as a whole: one sample may lack.
    time_base = config.time_base
    end_samples = time_base.seconds_to_samples(offset_sec) + _audio_samples(time_base, duration_sec)
    return max(minimum_sec, excerpt_sec, end_samples / time_base.sample_rate_hz)


def _audio_samples(time_base: TimeBase, duration_sec: float) -> int:
    num_top_tokens = time_base.seconds_to_tokens(duration_sec, Level.TOP)
    return time_base.tokens_to_samples(num_top_tokens, Level.TOP)


def _plan_levels(
    config: JukeboxConfig,
    song: Song,
    done: Mapping[Level, int],
    infills: Mapping[Level, Sequence[Infill]],
    cuts: Mapping[Level, Sequence[Cut]] | None,
    *,
    padded: bool,
) -> dict[Level, LevelPlan]:
    """All levels, coarsest first.

    Lengths are whole top tokens, lead-out or not: windows may only begin where a token of the
    level above begins.
    """
    time_base = config.time_base
    num_top_tokens = time_base.seconds_to_tokens(song.duration_sec, Level.TOP)
    plans: dict[Level, LevelPlan] = {}
    for level in reversed(song.levels):
        total_tokens = num_top_tokens * time_base.tokens_per_top_token(level)
        plans[level] = _plan_level(
            config,
            song,
            level,
            total_tokens,
            done.get(level, 0),
            infills.get(level, ()),
            None if cuts is None else cuts.get(level, ()),
        )
        if padded and plans[level].windows:
            above = _shortest_samples(config, level) // time_base.samples_per_token[Level.TOP]
            num_top_tokens = max(num_top_tokens, above)
    return {level: plans[level] for level in song.levels}


def _plan_level(
    config: JukeboxConfig,
    song: Song,
    level: Level,
    total_tokens: int,
    done_tokens: int,
    infills: Sequence[Infill],
    cuts: Sequence[Cut] | None,
) -> LevelPlan:
    prior, ratio = config.prior(level), config.time_base.tokens_per_upper_token(level)
    params = song.sampling.get(level, SamplingParams())
    hop = hop_tokens(prior, params.hop_fraction, ratio)
    again = plan_infills(total_tokens, prior.context_tokens, hop, done_tokens, infills)
    # The top has nothing above it that would hold its segments together.
    is_parallel = song.speed is Speed.PARALLEL and level is not Level.TOP
    segments: tuple[Segment, ...] = ()
    if again.infills or not is_parallel:
        cuts = ()
        if again.windows:
            segments = (Segment(again.windows, infills=again.infills),)
    else:
        stretch = Stretch(
            total_tokens=total_tokens,
            done_tokens=again.windows[0].first_new if again.windows else total_tokens,
            context_tokens=prior.context_tokens,
            hop_tokens=hop,
            ratio=ratio,
        )
        if cuts is None:
            cuts = plan_cuts(stretch, StepCosts.of(prior))
        segments = segments_of(stretch, cuts or window_cuts(stretch))
    return LevelPlan(
        total_tokens=total_tokens,
        output_tokens=config.time_base.seconds_to_tokens(song.duration_sec, level),
        windows=tuple(window for segment in segments for window in segment.windows),
        hop_tokens=hop,
        segments=segments,
        cuts=tuple(cuts),
    )


def _check_finite(song: Song) -> None:
    for field in ("duration_sec", "song_duration_sec", "offset_sec"):
        value = getattr(song, field)
        if not math.isfinite(value) or value < 0.0:
            raise SongError(
                f"{field}={value:.10g} must be a number of seconds from 0 on", field=field
            )


def _shortest_samples_of_levels(
    config: JukeboxConfig, song: Song, *, padded: bool
) -> dict[Level, int]:
    """A whole top token at least; a full window of codes above every upsampler, unless the levels
    above draw a lead-out to fill it."""
    levels = song.levels[:1] if padded else song.levels
    return {level: _shortest_samples(config, level) for level in levels}


def _check_shortest(
    config: JukeboxConfig, song: Song, needed_samples: Mapping[Level, int], num_audio_samples: int
) -> None:
    time_base = config.time_base
    too_short = [level for level, needed in needed_samples.items() if needed > num_audio_samples]
    if not too_short:
        return
    shortest = _seconds_up(max(needed_samples.values()), time_base)
    coarsest = too_short[0]
    if coarsest is Level.TOP:
        why = "shorter than one token of the top level"
        remedy = ""
    else:
        why = f"too short for the {coarsest.label} level, which needs a full window of codes above"
        kept = [level.label for level in song.levels if level > coarsest]
        remedy = f", or only the levels {kept}"
    raise SongError(
        f"duration_sec={song.duration_sec:.10g} is {why}: ask for at least {shortest} s{remedy}",
        field="duration_sec",
    )


def _shortest_samples(config: JukeboxConfig, level: Level) -> int:
    top_token_samples = config.time_base.samples_per_token[Level.TOP]
    if level is Level.TOP:
        return top_token_samples
    context_samples = config.prior(level).context_samples
    return math.ceil(context_samples / top_token_samples) * top_token_samples


def _check_song_duration(config: JukeboxConfig, song: Song) -> None:
    """The table of song lengths that the top prior learnt covers [min, max)."""
    labels = config.prior(Level.TOP).labels
    if labels is None:
        return
    range_text = (
        f"this model was trained on songs of at least {labels.min_duration_sec:.10g} s and "
        f"less than {labels.max_duration_sec:.10g} s"
    )
    longest = _seconds_down(_longest_song_samples(labels, config.time_base), config.time_base)
    excerpt_sec = song.offset_sec + song.duration_sec
    too_long = song.song_duration_sec >= labels.max_duration_sec
    if too_long and excerpt_sec >= labels.max_duration_sec:
        raise SongError(
            f"offset_sec={song.offset_sec:.10g} and duration_sec={song.duration_sec:.10g} make "
            f"{excerpt_sec:.10g} s, and {range_text}: together they can be at most {longest} s",
            field="duration_sec",
        )
    if too_long:
        nearest = longest
    elif song.song_duration_sec < labels.min_duration_sec - 1e-9:
        nearest = f"{labels.min_duration_sec:.10g}"
    else:
        return
    raise SongError(
        f"song_duration_sec={song.song_duration_sec:.10g}, but {range_text}: the nearest is "
        f"{nearest} s",
        field="song_duration_sec",
    )


def whole_song_samples(config: JukeboxConfig, song_duration_sec: float) -> int:
    """Samples of the whole song, kept inside the model's range whatever the fractions did."""
    total_samples = config.time_base.seconds_to_samples(song_duration_sec)
    labels = config.prior(Level.TOP).labels
    if labels is None:
        return total_samples
    shortest = math.ceil(
        labels.min_duration_sec * config.time_base.sample_rate_hz - _FORGIVEN_SAMPLES
    )
    longest = _longest_song_samples(labels, config.time_base)
    return max(min(total_samples, longest), shortest)


def _longest_song_samples(labels: LabelConfig, time_base: TimeBase) -> int:
    return math.ceil(labels.max_duration_sec * time_base.sample_rate_hz - _FORGIVEN_SAMPLES) - 1


def _check_inside_song(
    config: JukeboxConfig,
    song: Song,
    needed_samples: Mapping[Level, int],
    total_samples: int,
    end_samples: int,
) -> None:
    if end_samples <= total_samples:
        return
    time_base = config.time_base
    labels = config.prior(Level.TOP).labels
    remedies = []
    if labels is None or end_samples <= _longest_song_samples(labels, time_base):
        remedies.append(f"make the song at least {_seconds_up(end_samples, time_base)} s long")
    left_samples = total_samples - time_base.seconds_to_samples(song.offset_sec)
    if left_samples >= max(needed_samples.values()):
        remedies.append(f"draw at most {_seconds_down(left_samples, time_base)} s")
    raise SongError(
        f"offset_sec={song.offset_sec:.10g} and duration_sec={song.duration_sec:.10g} end after "
        f"the song, whose song_duration_sec={song.song_duration_sec:.10g}: "
        + " or ".join(remedies or ["begin earlier"]),
        field="song_duration_sec",
    )


def _check_last_window(config: JukeboxConfig, song: Song, plan: SongPlan) -> None:
    """The table of places in a song ends at the longest song, and windows are timed as full ones.

    The original asserts this in its timing embedding (`conditioners.py`), an hour into the job.
    """
    top = config.prior(Level.TOP)
    if top.labels is None or not plan.levels[Level.TOP].windows:
        return
    limit_samples = math.floor(top.labels.max_duration_sec * top.sample_rate_hz + _FORGIVEN_SAMPLES)
    span_samples = _last_window_end_samples(top, plan.levels[Level.TOP])
    if plan.offset_samples + span_samples <= limit_samples:
        return
    end = _seconds_up(plan.offset_samples + span_samples, config.time_base)
    found = (
        f"the top level's last window of {top.context_tokens} tokens would end {end} s into the "
        f"song, and this model knows places up to {top.labels.max_duration_sec:.10g} s"
    )
    if span_samples > limit_samples:
        raise SongError(f"{found}: its windows are too long to sing at all", field="duration_sec")
    latest = _seconds_down(limit_samples - span_samples, config.time_base)
    raise SongError(
        f"{found}: with duration_sec={song.duration_sec:.10g}, offset_sec can be at most {latest}",
        field="offset_sec",
    )


def _last_window_end_samples(top: JukeboxPriorConfig, plan: LevelPlan) -> int:
    return (plan.windows[-1].start + top.context_tokens) * top.samples_per_token


def _check_padding_inside_song(config: JukeboxConfig, song: Song, plan: SongPlan) -> None:
    """A window must begin inside the song, or neither its place nor its lyrics can be told.

    Only the lead-out of a level whose windows are shorter than those below can break this.
    """
    for level, level_plan in plan.levels.items():
        start = level_plan.windows[-1].start if level_plan.windows else 0
        needed = plan.offset_samples + config.time_base.tokens_to_samples(start, level) + 1
        if needed > plan.total_samples:
            num_unheard = level_plan.total_tokens - level_plan.output_tokens
            raise SongError(
                f"the {level.label} level draws {num_unheard} tokens more than are heard, for the "
                f"level below, and their last window would begin after the song, whose "
                f"song_duration_sec={song.song_duration_sec:.10g}: make the song at least "
                f"{_seconds_up(needed, config.time_base)} s long, or begin earlier",
                field="song_duration_sec",
            )


def _seconds_up(num_samples: int, time_base: TimeBase) -> str:
    """The shortest duration in whole milliseconds that holds `num_samples`."""
    return f"{-(-num_samples * 1000 // time_base.sample_rate_hz) / 1000:.10g}"


def _seconds_down(num_samples: int, time_base: TimeBase) -> str:
    """The longest duration in whole milliseconds inside `num_samples`."""
    return f"{num_samples * 1000 // time_base.sample_rate_hz / 1000:.10g}"
