"""Segments: what is drawn side by side, where it is joined, and that nothing else changes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.models.released import released_config
from jukebox_core.sampling.cascade import plan_song
from jukebox_core.sampling.options import song_from_options
from jukebox_core.sampling.segments import (
    Segment,
    Stretch,
    _cuts,
    join_segments,
    plan_cuts,
    segments_of,
    window_cuts,
)
from jukebox_core.sampling.step_cost import PLANNED_ROWS, StepCosts
from jukebox_core.sampling.windows import Window, plan_windows
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

# The plan -------------------------------------------------------------------------------------


@st.composite
def stretches(draw):
    """Any level: its context holds whole tokens of the level above, and so does its length."""
    ratio = draw(st.sampled_from([1, 2, 4]))
    context = ratio * draw(st.integers(1, 64))
    total = ratio * draw(st.integers(1, 600))
    return Stretch(
        total_tokens=total,
        done_tokens=draw(st.integers(0, total)),
        context_tokens=context,
        hop_tokens=ratio * draw(st.integers(1, context // ratio)),
        ratio=ratio,
    )


COSTS = st.builds(
    StepCosts,
    row_share=st.floats(0.0, 1.0),
    window=st.floats(0.0, 50.0),
    read_token=st.floats(0.0, 1.0),
    max_rows=st.integers(1, 32),
)
PLANNERS = {
    "planned": plan_cuts,
    "whole windows": lambda stretch, costs: window_cuts(stretch),
}


def work(segment):
    return segment.warm_up_tokens + sum(window.num_new for window in segment.windows)


@pytest.mark.parametrize("cut", PLANNERS.values(), ids=PLANNERS)
@given(stretches(), COSTS)
def test_segments_draw_every_missing_token_once(cut, stretch, costs):
    segments = segments_of(stretch, cut(stretch, costs))
    kept = [
        place
        for segment in segments
        for window in segment.windows
        for place in range(window.first_new, window.end)
    ]
    assert kept == list(range(stretch.done_tokens, stretch.total_tokens))
    for before, after in pairwise(segments):
        assert before.end == after.start


@pytest.mark.parametrize("cut", PLANNERS.values(), ids=PLANNERS)
@given(stretches(), COSTS)
def test_a_segment_reads_what_is_given_and_draws_the_rest_of_what_it_reads(cut, stretch, costs):
    first, *others = segments_of(stretch, cut(stretch, costs)) or [None]
    assert first is None or first.warm_up_tokens == 0
    for segment in (first, *others) if first else ():
        windows = [segment.drawn(number) for number in range(len(segment.windows))]
        for window in windows:
            assert window.start % stretch.ratio == 0
            assert window.end - window.start <= stretch.context_tokens
        if segment is not first:
            done = max(windows[0].start, min(stretch.done_tokens, segment.start))
            assert windows[0].first_new == done
        for before, after in pairwise(windows):
            assert after.start >= windows[0].start
            assert after.first_new == before.end


@given(stretches(), COSTS)
def test_no_number_of_segments_would_finish_sooner(stretch, costs):
    def cost_of(cuts):
        segments = segments_of(stretch, cuts)
        drawn = [
            plan_windows(work(segment), stretch.context_tokens, stretch.hop_tokens)
            for segment in segments
        ]
        longest = max(drawn, key=lambda windows: windows[-1].end, default=())
        return costs.of_rows(
            len(segments),
            num_drawn=max(map(work, segments), default=0),
            num_windows=len(longest),
            num_read=sum(window.num_prefix for window in longest),
        )

    planned = plan_cuts(stretch, costs)
    if stretch.warm_up_tokens >= stretch.context_tokens:
        assert len(planned) <= 1
        return
    for number in (1, 2, costs.max_rows):
        if (number + 1) * stretch.warm_up_tokens <= stretch.missing_tokens:
            # Boundaries are whole tokens of the level above: a little more or less.
            slack = stretch.ratio * costs.step(max(number, len(planned))) + costs.window * number
            assert cost_of(planned) <= 1.05 * cost_of(_cuts(stretch, number)) + slack


@given(stretches())
def test_whole_windows_are_those_of_the_exact_song_in_at_most_eight_segments(stretch):
    segments = segments_of(stretch, window_cuts(stretch))
    assert len(segments) <= 8
    assert [window for segment in segments for window in segment.windows] == list(
        plan_windows(
            stretch.total_tokens, stretch.context_tokens, stretch.hop_tokens, stretch.done_tokens
        )
    )


def upsampler(total_tokens):
    """A level of a released model."""
    return Stretch(
        total_tokens=total_tokens, done_tokens=0, context_tokens=8192, hop_tokens=4096, ratio=4
    )


def test_a_minute_of_whole_windows_is_dealt_out_as_it_was_before_records_kept_it():
    segments = segments_of(upsampler(330_736), window_cuts(upsampler(330_736)))
    assert [work(segment) for segment in segments] == [*[45_056] * 7, 44_016]


@pytest.mark.parametrize("seconds", [6, 10, 20, 60])
@pytest.mark.parametrize("level", [Level.MIDDLE, Level.BOTTOM])
def test_a_released_model_uses_every_row_at_every_length(seconds, level):
    config = released_config("1b_lyrics")
    total = config.time_base.seconds_to_tokens(seconds, level) // 4 * 4
    costs = StepCosts.of(config.prior(level))
    segments = segments_of(upsampler(total), plan_cuts(upsampler(total), costs))
    assert len(segments) % PLANNED_ROWS == 0
    works = [work(segment) for segment in segments]
    assert max(works) - min(works) <= 4 * len(works)


def test_six_seconds_of_a_released_model_are_drawn_in_a_seventh_of_the_steps():
    middle, bottom = upsampler(8268), upsampler(33_072)
    costs = StepCosts.of(released_config("1b_lyrics").prior(Level.MIDDLE))
    steps = [max(map(work, segments_of(each, plan_cuts(each, costs)))) for each in (middle, bottom)]
    assert sum(steps) < (8268 + 33_072) / 6.5


def test_where_side_by_side_gains_nothing_there_is_one_segment():
    stretch = Stretch(total_tokens=100, done_tokens=0, context_tokens=100, hop_tokens=50, ratio=1)
    one = (Segment((Window(0, 100, 0),)),)
    assert segments_of(stretch, plan_cuts(stretch, StepCosts(max_rows=1))) == one
    assert segments_of(stretch, window_cuts(stretch)) == one
    done = replace(stretch, done_tokens=100)
    assert segments_of(done, plan_cuts(done, StepCosts())) == ()
    assert segments_of(done, window_cuts(done)) == ()


# The joins ------------------------------------------------------------------------------------

LEFT = Segment((Window(0, 40, 0),))
RIGHT = Segment((Window(0, 80, 40),), warm_up_tokens=40)


def streams(*agreeing):
    """Two streams of one row that agree nowhere but in these slices."""
    left, right = np.arange(80), np.arange(80) + 1000
    for where in agreeing:
        right[where] = left[where]
    return [left[None], right[None]]


def join_of(*agreeing):
    left, right = streams(*agreeing)
    (joined,) = join_segments([LEFT, RIGHT], [left, right])
    return joined


def test_streams_that_never_agree_are_joined_where_the_warm_up_ends():
    assert list(join_of()) == [*range(40), *range(1040, 1080)]


def test_a_join_is_where_the_streams_agree():
    joined = join_of(slice(22, 30))
    # In 22 to 29 both are the same, and the change is somewhere in there.
    assert list(joined) == [*range(30), *range(1030, 1080)]


def test_the_first_half_of_a_warm_up_is_not_trusted():
    joined = join_of(slice(0, 15))
    assert list(joined) == [*range(40), *range(1040, 1080)]


def test_every_row_has_its_own_joins():
    one, other = streams(slice(22, 30)), streams()
    both = [np.concatenate(pair) for pair in zip(one, other, strict=True)]
    joined = join_segments([LEFT, RIGHT], both)
    assert (joined[0] == join_of(slice(22, 30))).all()
    assert (joined[1] == join_of()).all()


# Songs ----------------------------------------------------------------------------------------

WHOLE = 70  # top tokens: more than one window at every level


def sing(speed, num_top_tokens=WHOLE, **options):
    model = model_with("prior_5b_lyrics")
    return model.ancestral_sample(
        labels_of_both_songs(model.tokenizer),
        duration_sec=top_seconds(num_top_tokens),
        **{"seed": 7, "song_duration_sec": 62.0, "speed": speed, **options},
    )


def first_join(level):
    """The first token that may not be the exact song's: its sampled end, less half a warm-up."""
    model = model_with("prior_5b_lyrics")
    options = {"song_duration_sec": 62.0, "speed": "parallel"}
    song = song_from_options(model.config, top_seconds(WHOLE), 2, options)
    _, second, *_ = plan_song(model.config, song, padded=True).levels[level].segments
    assert second.start > second.warm_up_tokens > 0
    return second.start - second.warm_up_tokens // 2


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def parallel():
    return sing("parallel")


def test_the_top_and_the_first_segment_are_those_of_the_exact_song(parallel):
    exact = sing("exact")
    assert torch.equal(exact[0], parallel[0])
    num_same = first_join(Level.MIDDLE)
    assert torch.equal(exact[1][:, :num_same], parallel[1][:, :num_same])
    assert not torch.equal(exact[1], parallel[1])


def test_a_parallel_song_does_not_depend_on_how_many_rows_step_together(parallel):
    assert same(sing("parallel", max_batch_size=3), parallel)


def test_what_is_kept_stays_and_the_rest_is_drawn_side_by_side(parallel):
    model = model_with("prior_5b_lyrics")
    codes = model.continue_sample(
        parallel,
        labels_of_both_songs(model.tokenizer),
        duration_sec=top_seconds(WHOLE),
        keep_sec=top_seconds(20),
        seed=8,
        song_duration_sec=62.0,
        speed="parallel",
    )
    for stream, kept, per_top in zip(codes, parallel, (1, 4, 16), strict=True):
        assert stream.shape == kept.shape
        assert torch.equal(stream[:, : 20 * per_top], kept[:, : 20 * per_top])


def test_progress_of_a_parallel_level_rises_to_its_end():
    seen = {level: [] for level in COARSE_TO_FINE}
    sing("parallel", progress=lambda level, done, total: seen[level].append((done, total)))
    for reports in seen.values():
        done, totals = zip(*reports, strict=True)
        assert list(done) == sorted(done)
        assert done[-1] == totals[-1]


def test_an_unknown_speed_is_refused():
    with pytest.raises(SongError, match="exact, parallel"):
        sing("fast")
