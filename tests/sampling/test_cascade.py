import math
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.song import SamplingParams, Song, default_sampling
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.labels.golden import TOP_PRIORS, golden_case, golden_config
from tests.sampling.models import model_config

LYRICS_5B = model_config(song_range_sec=(23.8, 600.0))
LYRICS_1B = model_config(contexts=(6144, 8192, 8192), song_range_sec=(17.84, 600.0))
ONLY_5B = model_config(song_range_sec=(60.0, 600.0))
DRAFT = COARSE_TO_FINE[:1]


def a_song(config=LYRICS_5B, duration_sec=20.0, song_duration_sec=None, offset_sec=0.0, **rest):
    if song_duration_sec is None:
        song_duration_sec = default_song_duration_sec(config, duration_sec, offset_sec)
    return Song(
        artist="a",
        genre="b",
        duration_sec=duration_sec,
        song_duration_sec=song_duration_sec,
        offset_sec=offset_sec,
        **rest,
    )


def refusal(config, song) -> tuple[str, str]:
    with pytest.raises(SongError) as caught:
        plan_song(config, song)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize("duration_sec", [20.0, 60.0, 180.0])
@pytest.mark.parametrize("config", [LYRICS_5B, LYRICS_1B, ONLY_5B])
def test_levels_of_the_released_models_cover_the_same_audio(config, duration_sec):
    plan = plan_song(config, a_song(config, duration_sec))
    top_tokens = int(duration_sec * 44_100) // 128
    totals = {level: levels.total_tokens for level, levels in plan.levels.items()}
    assert totals == {Level.TOP: top_tokens, Level.MIDDLE: 4 * top_tokens, 0: 16 * top_tokens}
    assert plan.num_audio_samples == 128 * top_tokens


def test_windows_of_the_released_models_are_as_many_as_in_the_reference_table():
    counts = []
    for config in (LYRICS_5B, LYRICS_1B):
        for seconds in (20.0, 60.0, 180.0):
            song = a_song(config, seconds, sampling=_hops(0.125, 0.5, 0.5))
            plan = plan_song(config, song)
            counts.append([len(plan.levels[level].windows) for level in COARSE_TO_FINE])
    assert counts == [
        [1, 6, 26],
        [14, 20, 80],
        [54, 60, 242],
        [2, 6, 26],
        [20, 20, 80],
        [74, 60, 242],
    ]


def _hops(*fractions):
    return {
        level: SamplingParams(hop_fraction=fraction)
        for level, fraction in zip(COARSE_TO_FINE, fractions, strict=True)
    }


@pytest.mark.parametrize("top", TOP_PRIORS)
def test_the_golden_songs_are_planned_as_they_were_drawn(top):
    lengths = {Level(int(level)): total for level, total in golden_case()["lengths"][top].items()}
    song = a_song(duration_sec=lengths[Level.TOP] * 128 / 44_100, song_duration_sec=62.0)
    plan = plan_song(golden_config(top), song)
    assert {level: levels.total_tokens for level, levels in plan.levels.items()} == lengths
    assert plan.total_samples == golden_case()["metas"][0]["total_length"]
    assert [plan.levels[level].hop_tokens for level in COARSE_TO_FINE] == [8, 32, 32]


def test_a_song_shorter_than_the_top_context_is_one_shorter_window():
    plan = plan_song(LYRICS_5B, a_song(duration_sec=10.0))
    (window,) = plan.levels[Level.TOP].windows
    assert (window.start, window.end) == (0, 3445)


def test_only_the_asked_levels_are_planned():
    plan = plan_song(LYRICS_5B, a_song(duration_sec=1.0, levels=DRAFT))
    assert list(plan.levels) == [Level.TOP]


def test_the_place_in_the_song_is_kept_in_samples():
    plan = plan_song(LYRICS_5B, a_song(duration_sec=20, song_duration_sec=180, offset_sec=30.5))
    assert (plan.total_samples, plan.offset_samples) == (180 * 44_100, 1_345_050)


def test_a_level_without_settings_takes_the_defaults():
    plan = plan_song(LYRICS_5B, a_song(sampling={}))
    assert plan == plan_song(LYRICS_5B, a_song(sampling=default_sampling()))


# What cannot be sung ------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["duration_sec", "song_duration_sec", "offset_sec"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_duration_that_is_no_number_is_refused(field, value):
    song = a_song(**{"song_duration_sec": 60.0, field: value})
    assert refusal(LYRICS_5B, song) == (
        field,
        f"{field}={value} must be a number of seconds from 0 on",
    )


def test_a_negative_duration_is_refused():
    assert refusal(LYRICS_5B, a_song(duration_sec=-1.0))[0] == "duration_sec"


@pytest.mark.parametrize("duration_sec", [0.0, 0.0029])
def test_a_song_shorter_than_one_top_token_is_refused(duration_sec):
    song = a_song(duration_sec=duration_sec, levels=DRAFT)
    assert refusal(LYRICS_5B, song) == (
        "duration_sec",
        f"duration_sec={duration_sec:.10g} is shorter than one token of the top level: "
        "ask for at least 0.003 s",
    )
    assert plan_song(LYRICS_5B, replace(song, duration_sec=0.003)).levels[Level.TOP].total_tokens


def test_a_song_shorter_than_the_middle_context_is_refused():
    """5.944 s, as the original's notes say, is 14 samples too short."""
    assert refusal(LYRICS_5B, a_song(duration_sec=5.944)) == (
        "duration_sec",
        "duration_sec=5.944 is too short for the middle level, which needs a full window of codes "
        "above: ask for at least 5.945 s, or only the levels ['top']",
    )
    plan = plan_song(LYRICS_5B, a_song(duration_sec=5.945))
    assert plan.levels[Level.MIDDLE].total_tokens == 8192
    plan_song(LYRICS_5B, a_song(duration_sec=5.944, levels=DRAFT))


def test_a_model_whose_finest_window_is_the_longest_says_so():
    config = model_config(contexts=(64, 64, 4096))
    field, message = refusal(config, a_song(duration_sec=0.1))
    assert field == "duration_sec"
    assert "too short for the bottom level" in message
    assert "at least 0.744 s, or only the levels ['top', 'middle']" in message
    plan_song(config, a_song(duration_sec=0.744))


@pytest.mark.parametrize(
    ("config", "shortest"), [(ONLY_5B, "60"), (LYRICS_5B, "23.8"), (LYRICS_1B, "17.84")]
)
def test_an_imagined_song_shorter_than_the_model_learnt_is_refused(config, shortest):
    song = a_song(duration_sec=10.0, song_duration_sec=10.0)
    assert refusal(config, song) == (
        "song_duration_sec",
        f"song_duration_sec=10, but this model was trained on songs of at least {shortest} s and "
        f"less than 600 s: the nearest is {shortest} s",
    )
    plan = plan_song(config, replace(song, song_duration_sec=float(shortest)))
    assert plan.total_samples == round(float(shortest) * 44_100)


@pytest.mark.parametrize("song_duration_sec", [600.0, 1e9])
def test_an_imagined_song_longer_than_the_model_learnt_is_refused(song_duration_sec):
    song = a_song(song_duration_sec=song_duration_sec)
    field, message = refusal(LYRICS_5B, song)
    assert field == "song_duration_sec"
    assert message.endswith("less than 600 s: the nearest is 599.999 s")
    plan_song(LYRICS_5B, replace(song, song_duration_sec=599.999))


@pytest.mark.parametrize(("duration_sec", "offset_sec"), [(600.0, 0.0), (300.0, 300.5)])
def test_more_music_than_any_song_of_the_model_is_refused(duration_sec, offset_sec):
    song = a_song(duration_sec=duration_sec, offset_sec=offset_sec)
    field, message = refusal(LYRICS_5B, song)
    assert field == "duration_sec"
    assert f"make {duration_sec + offset_sec:g} s" in message
    assert message.endswith("together they can be at most 599.999 s")


def test_the_longest_song_of_the_message_can_be_sung():
    plan = plan_song(LYRICS_5B, a_song(duration_sec=599.999))
    assert plan.levels[Level.TOP].windows[-1].end == 599_999 * 44_100 // 128_000


def test_a_song_so_long_that_fractions_round_it_up_stays_inside_the_range():
    plan = plan_song(LYRICS_5B, a_song(song_duration_sec=math.nextafter(600.0, 0.0)))
    assert plan.total_samples == 600 * 44_100 - 1


def test_music_beyond_the_end_of_the_imagined_song_is_refused():
    song = a_song(duration_sec=20.0, song_duration_sec=30.0, offset_sec=15.0)
    assert refusal(LYRICS_5B, song) == (
        "song_duration_sec",
        "offset_sec=15 and duration_sec=20 end after the song, whose song_duration_sec=30: "
        "make the song at least 34.999 s long or draw at most 15 s",
    )
    plan_song(LYRICS_5B, replace(song, song_duration_sec=34.999))
    plan_song(LYRICS_5B, replace(song, duration_sec=15.0))


def test_only_remedies_that_work_are_named():
    beyond_all = a_song(duration_sec=20.0, song_duration_sec=590.0, offset_sec=585.0)
    assert refusal(LYRICS_5B, beyond_all)[1].endswith("song_duration_sec=590: begin earlier")
    at_the_end = a_song(duration_sec=20.0, song_duration_sec=100.0, offset_sec=100.0)
    assert refusal(LYRICS_5B, at_the_end)[1].endswith(": make the song at least 119.999 s long")
    too_late = a_song(duration_sec=20.0, song_duration_sec=590.0, offset_sec=581.0)
    assert refusal(LYRICS_5B, too_late)[1].endswith(": draw at most 9 s")


def test_a_last_window_that_reaches_past_the_longest_song_is_refused():
    """Ten seconds fit, but the top prior is timed for its whole context of 23.8 seconds."""
    song = a_song(duration_sec=10.0, song_duration_sec=599.0, offset_sec=580.0)
    assert refusal(LYRICS_5B, song) == (
        "offset_sec",
        "the top level's last window of 8192 tokens would end 603.778 s into the song, and this "
        "model knows places up to 600 s: with duration_sec=10, offset_sec can be at most 576.222",
    )
    plan_song(LYRICS_5B, replace(song, offset_sec=576.222))


def test_a_model_with_windows_longer_than_its_songs_sings_nothing():
    config = model_config(contexts=(8192, 64, 64), song_range_sec=(1.0, 10.0))
    field, message = refusal(config, a_song(config, duration_sec=2.0))
    assert field == "duration_sec"
    assert "too long to sing at all" in message


@pytest.mark.parametrize(("level", "fraction"), [(Level.MIDDLE, 0.1), (Level.TOP, 1e-6)])
def test_an_illegal_hop_is_refused(level, fraction):
    sampling = {**default_sampling(), level: SamplingParams(hop_fraction=fraction)}
    field, _ = refusal(LYRICS_5B, a_song(sampling=sampling))
    assert field == f"sampling.{level.label}.hop_fraction"


def test_the_hop_of_a_level_that_is_not_drawn_does_not_matter():
    sampling = {Level.MIDDLE: SamplingParams(hop_fraction=0.1)}
    plan_song(LYRICS_5B, a_song(sampling=sampling, levels=DRAFT))


def test_a_model_without_labels_has_no_song_limits():
    config = model_config(song_range_sec=None)
    plan = plan_song(config, a_song(duration_sec=10.0, song_duration_sec=5000.0, offset_sec=4000.0))
    assert plan.total_samples == 5000 * 44_100
    assert refusal(config, a_song(config, duration_sec=10.0, song_duration_sec=9.0))[0] == (
        "song_duration_sec"
    )


# Any model ----------------------------------------------------------------------------------

durations = st.one_of(
    st.floats(0.0, 30.0), st.integers(0, 30_000).map(lambda milliseconds: milliseconds / 1000)
)


@st.composite
def models(draw):
    return model_config(
        sample_rate_hz=draw(st.sampled_from([8000, 16_000, 16_001, 22_050, 44_100, 48_000])),
        downs=draw(st.sampled_from([(3, 2, 2), (5, 1, 3), (1, 1, 1), (1, 2, 1)])),
        contexts=tuple(8 * draw(st.integers(1, 64)) for _ in range(3)),
        song_range_sec=draw(st.sampled_from([None, (17.84, 600.0), (0.0, 20.0), (1.001, 12.3457)])),
    )


def planned_or_refused(config, song):
    try:
        return plan_song(config, song)
    except SongError as error:
        return error


@given(models(), durations, durations)
def test_the_default_song_is_refused_for_its_length_or_place_only(config, duration, offset):
    """Never because the default is shorter than the drawn part or than the model's songs."""
    plan = planned_or_refused(config, a_song(config, duration, offset_sec=offset))
    if isinstance(plan, SongError):
        assert plan.field in {"duration_sec", "offset_sec"}
        return
    assert plan.offset_samples + plan.num_audio_samples <= plan.total_samples
    labels = config.priors[0].labels
    if labels is not None:
        rate = config.vqvae.sample_rate_hz
        assert labels.min_duration_sec * rate <= plan.total_samples + 1e-6
        assert plan.total_samples < labels.max_duration_sec * rate


@given(models(), st.floats(2.0, 8.0), st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.integers(1, 3))
def test_what_is_planned_can_be_drawn(config, duration, offset, rest, num_levels):
    song_duration = default_song_duration_sec(config, duration, offset) + rest
    song = a_song(
        config, duration, song_duration, offset_sec=offset, levels=COARSE_TO_FINE[:num_levels]
    )
    plan = planned_or_refused(config, song)
    assume(not isinstance(plan, SongError))
    for level, levels in plan.levels.items():
        prior = config.prior(level)
        ratio = config.time_base.tokens_per_upper_token(level)
        assert levels.total_tokens * prior.samples_per_token == plan.num_audio_samples > 0
        assert sum(window.num_new for window in levels.windows) == levels.total_tokens
        for window in levels.windows:
            assert window.start % ratio == 0
            assert plan.offset_samples + window.start * prior.samples_per_token < plan.total_samples
            if level is not Level.TOP:
                upper_end = window.start // ratio + prior.upper_context_tokens
                assert upper_end <= plan.levels[level.upper].total_tokens
    assert plan.num_audio_samples <= duration * config.vqvae.sample_rate_hz + 1e-3


@given(models(), durations)
def test_the_shortest_duration_of_the_message_can_be_drawn(config, duration):
    config = replace(config, priors=tuple(replace(prior, labels=None) for prior in config.priors))
    refused = planned_or_refused(config, a_song(config, duration))
    assume(isinstance(refused, SongError))
    (shortest,) = re.findall(r"at least ([\d.]+) s", str(refused))
    plan_song(config, a_song(config, float(shortest)))
    assert float(shortest) > duration
