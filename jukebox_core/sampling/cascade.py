"""What one song needs at every level, in plain Python."""

import math
from collections.abc import Mapping, Sequence

from jukebox_core.config import JukeboxConfig
from jukebox_core.sampling.infill import Infill, plan_infills
from jukebox_core.sampling.kept import check_kept
from jukebox_core.sampling.limits import (
    audio_samples,
    check_plan,
    check_song,
    shortest_samples,
    whole_song_samples,
)
from jukebox_core.sampling.segments import (
    Cut,
    Segment,
    Stretch,
    plan_cuts,
    segments_of,
    window_cuts,
)
from jukebox_core.sampling.song_plan import LevelPlan, SongPlan
from jukebox_core.sampling.step_cost import StepCosts
from jukebox_core.sampling.windows import hop_tokens
from jukebox_core.song import SamplingParams, Song, Speed
from jukebox_core.units import Level


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
    check_song(config, song, padded=padded)
    time_base = config.time_base
    done = dict(done_tokens or {})
    check_kept(time_base, song, done)
    plan = SongPlan(
        levels=_plan_levels(config, song, done, infills or {}, cuts, padded=padded),
        total_samples=whole_song_samples(config, song.song_duration_sec),
        offset_samples=time_base.seconds_to_samples(song.offset_sec),
        num_audio_samples=audio_samples(time_base, song.duration_sec),
    )
    check_plan(config, song, plan)
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
    end_samples = time_base.seconds_to_samples(offset_sec) + audio_samples(time_base, duration_sec)
    return max(minimum_sec, excerpt_sec, end_samples / time_base.sample_rate_hz)


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
            above = shortest_samples(config, level) // time_base.samples_per_token[Level.TOP]
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
