"""Levels that overlap: the same codes, and the beginning of the song long before its end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.errors import SongError
from jukebox_core.sampling.cascade import plan_song
from jukebox_core.sampling.overlapping import iter_cascade, plan_turns
from jukebox_core.song import Song
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

WHOLE = 70  # top tokens: more than one window at every level
OPTIONS = {"seed": 7, "song_duration_sec": 62.0}


def model():
    return model_with("prior_5b_lyrics")


def labels():
    return labels_of_both_songs(model().tokenizer)


def planned(num_top_tokens, done, speed="exact", levels=COARSE_TO_FINE):
    song = Song(
        artist="",
        genre="",
        duration_sec=top_seconds(num_top_tokens),
        song_duration_sec=62.0,
        speed=speed,
        levels=levels,
    )
    return plan_song(model().config, song, done, lead_out=True)


@given(
    st.integers(1, 300),
    st.integers(0, 300),
    st.sampled_from(["exact", "parallel"]),
    st.integers(1, 3),
)
@settings(deadline=None)
def test_every_window_comes_once_in_order_and_under_codes_that_are_there(
    num_top_tokens, num_done, speed, num_levels
):
    done = {Level.TOP: min(num_done, num_top_tokens)}
    config = model().config
    plan = planned(num_top_tokens, done, speed, COARSE_TO_FINE[:num_levels])
    turns = list(plan_turns(config, plan))
    drawn = dict(done)
    for turn in turns:
        upper = turn.level.upper
        for window in turn.windows:
            assert window.first_new == drawn.get(turn.level, 0)
            drawn[turn.level] = window.end
            if upper is not None:
                start = window.start // config.time_base.tokens_per_upper_token(turn.level)
                assert start + config.prior(turn.level).upper_context_tokens <= drawn[upper]
    for level, each in plan.levels.items():
        assert [w for turn in turns if turn.level is level for w in turn.windows] == list(
            each.windows
        )


def test_the_finest_level_goes_first_wherever_it_can():
    turns = [turn.level for turn in plan_turns(model().config, planned(200, {}))]
    first_bottom = turns.index(Level.BOTTOM)
    assert turns[:first_bottom] == [Level.TOP, Level.MIDDLE]
    assert Level.TOP in turns[first_bottom:]
    assert turns[-1] is Level.BOTTOM


@pytest.mark.parametrize("speed", ["exact", "parallel"])
@pytest.mark.parametrize("num_top_tokens", [WHOLE, 10])
def test_overlapping_levels_have_the_codes_of_level_after_level(num_top_tokens, speed):
    duration_sec = top_seconds(num_top_tokens)
    options = {**OPTIONS, "speed": speed}
    wanted = model().ancestral_sample(labels(), duration_sec=duration_sec, **options)
    planning = model()._planned([], labels(), 1, duration_sec, options)
    found = {level: [] for level in COARSE_TO_FINE}
    for drawn in iter_cascade(model().config, model().prior, *planning, options):
        assert drawn.start == sum(codes.shape[1] for codes in found[drawn.level])
        found[drawn.level].append(drawn.codes)
    for codes, parts in zip(wanted, found.values(), strict=True):
        assert torch.equal(codes, torch.cat(parts, dim=1))


def test_early_sound_is_the_sound_of_the_whole():
    duration_sec = top_seconds(WHOLE)
    codes = model().ancestral_sample(labels(), duration_sec=duration_sec, **OPTIONS)
    drawn = []
    pieces = model().iter_sound(
        labels(),
        duration_sec=duration_sec,
        progress=lambda level, done, _: drawn.append((level, done)),
        **OPTIONS,
    )
    first = next(pieces)
    assert not torch.is_inference_mode_enabled()
    assert max(done for level, done in drawn if level is Level.MIDDLE) < codes[1].shape[1]
    sound = torch.cat([first, *pieces], dim=1)
    torch.testing.assert_close(sound, model().decode(codes), atol=1e-5, rtol=0)


def test_what_is_kept_is_heard_first_and_the_rest_goes_on_from_it():
    duration_sec = top_seconds(WHOLE)
    whole = model().ancestral_sample(labels(), duration_sec=duration_sec, **OPTIONS)
    kept = [codes[:, : 20 * per_top] for codes, per_top in zip(whole, (1, 4, 16), strict=True)]
    pieces = model().iter_sound(labels(), codes=kept, duration_sec=duration_sec, **OPTIONS)
    sound = torch.cat(list(pieces), dim=1)
    continued = model().continue_sample(kept, labels(), duration_sec=duration_sec, **OPTIONS)
    torch.testing.assert_close(sound, model().decode(continued), atol=1e-5, rtol=0)


def test_what_cannot_be_sung_is_refused_before_the_first_piece():
    with pytest.raises(SongError, match="duration_sec"):
        model().iter_sound(labels(), duration_sec=0.0, **OPTIONS)
