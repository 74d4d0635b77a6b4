"""Everything that a model cannot sing: the limits that a song can break, in plain numbers.

They are checked before anything is drawn.
"""

import math
from collections.abc import Mapping

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelConfig
from jukebox_core.errors import SongError
from jukebox_core.sampling.song_plan import LevelPlan, SongPlan
from jukebox_core.song import Song
from jukebox_core.units import Level, TimeBase

_FORGIVEN_SAMPLES = 1e-6
"""What binary fractions may add to a bound in seconds times a sample rate."""


def check_song(config: JukeboxConfig, song: Song, *, padded: bool) -> None:
    """See that the model can sing something so long, at that place of such a song.

    Args:
        config: the model.
        song: what to sing.
        padded: levels above draw what the windows of those below need, see `plan_song`.

    Raises:
        SongError: it cannot; `field` names the member of `Song` to change.
    """
    _check_finite(song)
    num_audio_samples = audio_samples(config.time_base, song.duration_sec)
    shortest = _shortest_samples_of_levels(config, song, padded=padded)
    _check_shortest(config, song, shortest, num_audio_samples)
    _check_song_duration(config, song)
    _check_inside_song(config, song, shortest, num_audio_samples)


def check_plan(config: JukeboxConfig, song: Song, plan: SongPlan) -> None:
    """See that every window of the plan of `song` lies where the model can tell its place.

    Raises:
        SongError: one does not; `field` names the member of `Song` to change.
    """
    _check_last_window(config, song, plan)
    _check_padding_inside_song(config, song, plan)


def audio_samples(time_base: TimeBase, duration_sec: float) -> int:
    """Samples of the whole top tokens in so many seconds."""
    num_top_tokens = time_base.seconds_to_tokens(duration_sec, Level.TOP)
    return time_base.tokens_to_samples(num_top_tokens, Level.TOP)


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
    return {level: shortest_samples(config, level) for level in levels}


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


def shortest_samples(config: JukeboxConfig, level: Level) -> int:
    """The shortest sound whose codes fill what the prior of `level` reads, in whole top tokens."""
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
    num_audio_samples: int,
) -> None:
    time_base = config.time_base
    offset_samples = time_base.seconds_to_samples(song.offset_sec)
    end_samples = offset_samples + num_audio_samples
    total_samples = whole_song_samples(config, song.song_duration_sec)
    if end_samples <= total_samples:
        return
    labels = config.prior(Level.TOP).labels
    remedies = []
    if labels is None or end_samples <= _longest_song_samples(labels, time_base):
        remedies.append(f"make the song at least {_seconds_up(end_samples, time_base)} s long")
    left_samples = total_samples - offset_samples
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
