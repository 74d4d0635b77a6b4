import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.windows import Window, hop_tokens, plan_windows
from jukebox_core.units import Level
from tests.sampling.models import model_config


@st.composite
def streams(draw):
    """(total, context, hop, done), small enough to meet every edge."""
    context = draw(st.integers(1, 40))
    hop = draw(st.integers(1, context))
    return draw(st.integers(0, 200)), context, hop, draw(st.integers(0, 220))


def tokens_in_order(total, context, hop, done):
    """The original's loop told token by token: (position, first position it may see)."""
    drawn = []
    start = 0
    while True:
        if start + context >= total:
            start = max(total - context, 0)
        for position in range(start, min(start + context, total)):
            if position >= done:
                drawn.append((position, start))
        done = max(done, min(start + context, total))
        if start + context >= total:
            return drawn
        start += hop


@given(streams())
def test_every_missing_token_is_drawn_once_and_in_order(stream):
    total, _, _, done = stream
    drawn = [p for window in plan_windows(*stream) for p in range(window.first_new, window.end)]
    assert drawn == list(range(done, total))


@given(streams())
def test_each_token_sees_what_it_sees_in_the_original(stream):
    planned = [
        (position, window.start)
        for window in plan_windows(*stream)
        for position in range(window.first_new, window.end)
    ]
    assert planned == tokens_in_order(*stream)


@given(streams())
def test_a_window_draws_something_and_reads_only_what_is_there(stream):
    total, context, _, done = stream
    for window in plan_windows(*stream):
        assert window.num_new >= 1
        assert 0 <= window.num_prefix < context
        assert window.num_prefix + window.num_new == window.end - window.start <= context
        assert window.first_new >= done
        assert window.end <= total


@given(streams())
def test_all_windows_are_full_when_the_stream_is_longer_than_the_context(stream):
    total, context, hop, _ = stream
    windows = plan_windows(total, context, hop)
    if total >= context:
        assert all(window.end - window.start == context for window in windows)
        assert windows[-1] == Window(total - context, total, windows[-1].first_new)
        starts = [window.start for window in windows]
        assert all(later - earlier == hop for earlier, later in pairwise(starts[:-1]))
    elif total:
        assert windows == (Window(0, total, 0),)


@given(streams())
def test_continuing_changes_no_window_but_the_first(stream):
    """A song that was interrupted inside a window goes on with that very window."""
    total, context, hop, done = stream
    whole = [w for w in plan_windows(total, context, hop) if w.end > done]
    rest = plan_windows(total, context, hop, done)
    assert [(w.start, w.end) for w in rest] == [(w.start, w.end) for w in whole]
    assert list(rest[1:]) == whole[1:]


def test_a_prompt_shorter_than_the_context_is_not_overshot():
    """The original draws 40 new tokens here and ends at 60."""
    assert plan_windows(40, 64, 8, done_tokens=20) == (Window(0, 40, 20),)


def test_the_last_window_is_pulled_back():
    starts = [window.start for window in plan_windows(88, 64, 10)]
    assert starts == [0, 10, 20, 24]


def test_a_finished_stream_needs_no_window():
    assert plan_windows(100, 64, 8, done_tokens=100) == ()
    assert plan_windows(100, 64, 8, done_tokens=130) == ()
    assert plan_windows(0, 64, 8) == ()


@pytest.mark.parametrize(
    "numbers", [(-1, 64, 8, 0), (10, 64, 0, 0), (10, 64, 65, 0), (10, 0, 0, 0), (10, 64, 8, -1)]
)
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="must"):
        plan_windows(*numbers)


RELEASED = model_config(contexts=(6144, 8192, 8192))


@pytest.mark.parametrize(
    ("level", "fraction", "hop"),
    [
        (Level.TOP, 0.125, 768),
        (Level.TOP, 1.0, 6144),
        (Level.TOP, 0.0002, 1),
        (Level.MIDDLE, 0.5, 4096),
        (Level.BOTTOM, 0.00049, 4),
        (Level.BOTTOM, 1.0, 8192),
    ],
)
def test_a_hop_is_a_part_of_the_context(level, fraction, hop):
    ratio = RELEASED.time_base.tokens_per_upper_token(level)
    assert hop_tokens(RELEASED.prior(level), fraction, ratio) == hop


def test_no_fraction_takes_the_default_of_the_prior():
    assert hop_tokens(RELEASED.prior(Level.MIDDLE), None, 4) == 4096


def test_a_default_that_would_split_a_token_is_cut_to_one_that_does_not():
    """Half of 36 tokens is 18; nobody asked for that number, so nobody is told off."""
    prior = model_config(contexts=(36, 36, 36)).prior(Level.MIDDLE)
    assert hop_tokens(prior, None, 4) == 16
    assert hop_tokens(replace(prior, default_hop_fraction=0.01), None, 4) == 4


def test_a_hop_that_splits_a_token_of_the_level_above_is_refused_with_near_ones():
    with pytest.raises(SongError) as caught:
        hop_tokens(RELEASED.prior(Level.MIDDLE), 0.1, 4)
    assert caught.value.field == "sampling.middle.hop_fraction"
    assert str(caught.value) == (
        "hop_fraction=0.1 of the middle level's 8192 tokens makes a hop of 819, which must be a "
        "multiple of 4: the nearest that work are 0.0997 (816 tokens) or 0.1001 (820 tokens)"
    )


@pytest.mark.parametrize(
    ("level", "ratio", "nearest"),
    [(Level.TOP, 1, "at least 1.* 0.0002 "), (Level.BOTTOM, 4, "multiple of 4.* 0.0005 ")],
)
def test_a_hop_of_no_token_is_refused(level, ratio, nearest):
    with pytest.raises(SongError, match=f"hop of 0.*{nearest}") as caught:
        hop_tokens(RELEASED.prior(level), 1e-5, ratio)
    assert caught.value.field == f"sampling.{level.label}.hop_fraction"


@given(
    context_quads=st.integers(1, 3000),
    fraction=st.floats(0.0, 1.0, exclude_min=True),
)
def test_a_hop_is_legal_or_the_message_names_fractions_that_are(context_quads, fraction):
    context = 4 * context_quads
    prior = model_config(contexts=(context, context, context)).prior(Level.MIDDLE)
    try:
        hop = hop_tokens(prior, fraction, 4)
    except SongError as error:
        assert int(fraction * context) % 4 or int(fraction * context) == 0
        near = re.findall(r"(\d\.\d+) \((\d+) tokens\)", str(error))
        assert near
        for text, tokens in near:
            assert hop_tokens(prior, float(text), 4) == int(tokens)
            assert abs(int(tokens) - fraction * context) <= 5
    else:
        assert hop == int(fraction * context)
        assert hop % 4 == 0 < hop <= context
