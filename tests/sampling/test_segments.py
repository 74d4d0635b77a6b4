"""Segments: what is drawn side by side, where it is joined, and that nothing else changes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.segments import Segment, join_segments, plan_segments
from jukebox_core.sampling.windows import Window, plan_windows
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

# The plan -------------------------------------------------------------------------------------

CUTS = st.tuples(
    st.integers(1, 600), st.integers(1, 64), st.integers(1, 64), st.integers(0, 300)
).map(lambda cut: (cut[0], cut[1], min(cut[2], cut[1]), cut[3]))


def work(segment):
    return segment.warm_up_tokens + sum(window.num_new for window in segment.windows)


@given(CUTS, st.integers(1, 9))
def test_segments_hold_the_windows_of_the_exact_song(cut, num_segments):
    windows = plan_windows(*cut)
    segments = plan_segments(windows, num_segments, cut[3])
    assert len(segments) <= num_segments
    assert [window for segment in segments for window in segment.windows] == list(windows)
    for before, after in pairwise(segments):
        assert before.end == after.start


@given(CUTS, st.integers(2, 9))
def test_a_segment_draws_all_that_its_first_window_would_have_read_but_what_is_given(
    cut, num_segments
):
    done = cut[3]
    first, *others = plan_segments(plan_windows(*cut), num_segments, done) or [None]
    assert first is None or first.warm_up_tokens == 0
    for segment in others:
        drawn = segment.drawn(0)
        assert (drawn.start, drawn.end) == (segment.windows[0].start, segment.windows[0].end)
        assert drawn.first_new == max(drawn.start, min(done, segment.start))
        assert [segment.drawn(n) for n in range(1, len(segment.windows))] == list(
            segment.windows[1:]
        )


@given(CUTS, st.integers(2, 9))
def test_more_segments_are_never_slower_than_fewer(cut, num_segments):
    windows = plan_windows(*cut)
    fewer = plan_segments(windows, num_segments - 1, cut[3])
    more = plan_segments(windows, num_segments, cut[3])
    assert max(map(work, more), default=0) <= max(map(work, fewer), default=0)


def test_a_level_of_many_windows_is_dealt_out_evenly():
    segments = plan_segments(plan_windows(330_736, 8192, 4096), 8)
    assert [work(segment) for segment in segments] == [*[45_056] * 7, 44_016]


def test_where_side_by_side_gains_nothing_there_is_one_segment():
    (window,) = plan_windows(100, 100, 50)
    assert plan_segments([window], 8) == (Segment((window,)),)
    assert plan_segments([], 8) == ()


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


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def parallel():
    return sing("parallel")


def test_the_top_and_the_first_segment_are_those_of_the_exact_song(parallel):
    exact = sing("exact")
    assert torch.equal(exact[0], parallel[0])
    # The first join may lie up to half a warm-up before place 64.
    assert torch.equal(exact[1][:, :48], parallel[1][:, :48])
    assert not torch.equal(exact[1], parallel[1])


def test_a_parallel_song_does_not_depend_on_how_many_rows_step_together(parallel):
    assert same(sing("parallel", max_batch_size=3), parallel)


def test_windows_that_read_nothing_make_the_same_song_side_by_side():
    sampling = {level: SamplingParams(hop_fraction=1.0) for level in Level}
    parallel, exact = (sing(speed, 64, sampling=sampling) for speed in ("parallel", "exact"))
    assert same(parallel, exact)


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
