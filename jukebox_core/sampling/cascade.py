"""What one song needs at every level, and everything that a model cannot sing.

All limits of a model that a request can break are checked here, in plain Python, before anything
is drawn.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelConfig
from jukebox_core.errors import SongError
from jukebox_core.sampling.windows import Window, hop_tokens, plan_windows
from jukebox_core.song import SamplingParams, Song
from jukebox_core.units import Level, TimeBase

_FORGIVEN_SAMPLES = 1e-6
"""What binary fractions may add to a bound in seconds times a sample rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlan:
    """The windows of one level; all numbers are tokens of that level, per sample."""

    total_tokens: int
    windows: tuple[Window, ...]
    hop_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SongPlan:
    """A song in audio samples and tokens.

    `levels` has the levels that are drawn, coarsest first. `total_samples` is the whole imagined
    song, of which `num_audio_samples` are drawn from `offset_samples` on.
    """

    levels: Mapping[Level, LevelPlan]
    total_samples: int
    offset_samples: int
    num_audio_samples: int


def plan_song(config: JukeboxConfig, song: Song) -> SongPlan:
    """Lay out `song` for the model of `config`.

    Raises:
        SongError: the model cannot sing it; `field` names the member of `Song` to change.
    """
    _check_finite(song)
    time_base = config.time_base
    num_audio_samples = _audio_samples(time_base, song.duration_sec)
    offset_samples = time_base.seconds_to_samples(song.offset_sec)
    _check_shortest(config, song, num_audio_samples)
    _check_song_duration(config, song)
    total_samples = _total_samples(config, song.song_duration_sec)
    _check_inside_song(config, song, total_samples, offset_samples + num_audio_samples)
    plan = SongPlan(
        levels={level: _plan_level(config, song, level) for level in song.levels},
        total_samples=total_samples,
        offset_samples=offset_samples,
        num_audio_samples=num_audio_samples,
    )
    _check_last_window(config, song, plan)
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


def _plan_level(config: JukeboxConfig, song: Song, level: Level) -> LevelPlan:
    prior = config.prior(level)
    params = song.sampling.get(level, SamplingParams())
    hop = hop_tokens(prior, params.hop_fraction, config.time_base.tokens_per_upper_token(level))
    total_tokens = config.time_base.seconds_to_tokens(song.duration_sec, level)
    return LevelPlan(
        total_tokens=total_tokens,
        windows=plan_windows(total_tokens, prior.context_tokens, hop),
        hop_tokens=hop,
    )


def _check_finite(song: Song) -> None:
    for field in ("duration_sec", "song_duration_sec", "offset_sec"):
        value = getattr(song, field)
        if not math.isfinite(value) or value < 0.0:
            raise SongError(
                f"{field}={value:.10g} must be a number of seconds from 0 on", field=field
            )


def _check_shortest(config: JukeboxConfig, song: Song, num_audio_samples: int) -> None:
    """A whole top token at least, and a full window of codes above every upsampler."""
    time_base = config.time_base
    needed_samples = {level: _shortest_samples(config, level) for level in song.levels}
    too_short = [level for level in song.levels if needed_samples[level] > num_audio_samples]
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


def _total_samples(config: JukeboxConfig, song_duration_sec: float) -> int:
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
    config: JukeboxConfig, song: Song, total_samples: int, end_samples: int
) -> None:
    if end_samples <= total_samples:
        return
    time_base = config.time_base
    labels = config.prior(Level.TOP).labels
    remedies = []
    if labels is None or end_samples <= _longest_song_samples(labels, time_base):
        remedies.append(f"make the song at least {_seconds_up(end_samples, time_base)} s long")
    left_samples = total_samples - time_base.seconds_to_samples(song.offset_sec)
    if left_samples >= max(_shortest_samples(config, level) for level in song.levels):
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
    if top.labels is None:
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


def _seconds_up(num_samples: int, time_base: TimeBase) -> str:
    """The shortest duration in whole milliseconds that holds `num_samples`."""
    return f"{-(-num_samples * 1000 // time_base.sample_rate_hz) / 1000:.10g}"


def _seconds_down(num_samples: int, time_base: TimeBase) -> str:
    """The longest duration in whole milliseconds inside `num_samples`."""
    return f"{num_samples * 1000 // time_base.sample_rate_hz / 1000:.10g}"
