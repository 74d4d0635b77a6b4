"""Splicing in the library: codes unchanged, missing levels sung as their part, mended joins."""

from functools import cache

import pytest
import torch

from jukebox_core import JukeboxModel, SplicePart
from jukebox_core.errors import SongError
from jukebox_core.sampling.infill import JOIN_SEC
from jukebox_core.sampling.splice import Stretch, mend_infills, plan_splice
from jukebox_core.units import COARSE_TO_FINE, Level

TOKEN_SEC = 0.016
TOP_AND_MIDDLE = COARSE_TO_FINE[:2]


@cache
def mini():
    return JukeboxModel.from_pretrained("mini")


@cache
def names(genre="tidedub"):
    return mini().tokenizer("orlavane", genre, "hello hello")


@cache
def song(seed, levels=TOP_AND_MIDDLE, genre="tidedub"):
    return tuple(
        mini().ancestral_sample(
            names(genre), 2, duration_sec=4.0, seed=seed, levels=levels, song_duration_sec=4.0
        )
    )


def part(codes, start, end, *, genre="tidedub", **more):
    return SplicePart(
        codes=codes,
        start_sec=start * TOKEN_SEC,
        end_sec=end * TOKEN_SEC,
        labels=names(genre),
        **more,
    )


def two_parts():
    return [part(song(1), 0, 100), part(song(2), 60, 200, row=1)]


def test_the_codes_of_all_parts_are_joined_unchanged():
    joined = mini().splice(two_parts())
    for stream, first, second, ratio in zip(joined, song(1), song(2), (1, 4), strict=True):
        wanted = torch.cat([first[0, : 100 * ratio], second[1, 60 * ratio : 200 * ratio]])
        assert torch.equal(stream, wanted[None])


def test_a_song_cut_in_pieces_and_joined_again_is_the_same_song_and_has_no_joins():
    pieces = [part(song(1), 0, 70), part(song(1), 70, 71), part(song(1), 71, 250)]
    for stream, whole in zip(mini().splice(pieces, mend_sec=1.0), song(1), strict=True):
        assert torch.equal(stream, whole[:1])


def test_levels_that_are_missing_are_drawn_as_the_part_that_they_lie_in():
    draft = song(3, (Level.TOP,))
    options = {"levels": TOP_AND_MIDDLE, "seed": 5}
    cut = [part(draft, 0, 128), part(draft, 128, 250)]
    whole = mini().splice(cut, **options)
    upsampled = mini().upsample(
        [draft[0][:1]], names(), song_duration_sec=4.0, levels=TOP_AND_MIDDLE, seed=5
    )
    assert torch.equal(whole[1], upsampled[1])
    other = mini().splice([cut[0], part(draft, 128, 250, genre="pixelpop")], **options)
    assert torch.equal(other[0], whole[0])
    assert torch.equal(other[1][:, :512], whole[1][:, :512])
    assert not torch.equal(other[1][:, 512:], whole[1][:, 512:])


def test_mending_draws_the_finer_levels_around_a_join_and_nothing_else():
    plain = mini().splice(two_parts())
    mended = mini().splice(two_parts(), mend_sec=0.2, seed=9)
    assert torch.equal(mended[0], plain[0])
    changed = torch.nonzero(mended[1][0] != plain[1][0])[:, 0]
    assert len(changed) > 10
    assert changed.min() >= 4 * (100 - 13)
    assert changed.max() < 4 * (100 + 13 + JOIN_SEC[Level.MIDDLE] / TOKEN_SEC)
    assert any(changed < 400)
    assert any(changed >= 400)


def test_no_level_is_mended_beyond_what_its_plan_says():
    num_tokens = {Level.TOP: 250, Level.MIDDLE: 1000, Level.BOTTOM: 4000}
    time_base = mini().config.time_base
    plan = plan_splice(
        time_base,
        [
            Stretch(source="a", num_tokens=num_tokens, end_sec=0.1),
            Stretch(source="b", num_tokens=num_tokens, end_sec=3.0),
        ],
    )
    found = mend_infills(time_base, plan, 0.5)
    assert list(found) == [Level.MIDDLE, Level.BOTTOM]
    (middle,), (bottom,) = found.values()
    assert (middle.start, bottom.start) == (0, 0), "the first part is shorter than what is mended"
    assert bottom.end == 4 * middle.join_end > 4 * middle.end
    assert mend_infills(time_base, plan, 0.0) == {}


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(SongError, match="labels of all parts"):
        mini().splice([SplicePart(codes=song(1))], levels=COARSE_TO_FINE)
    with pytest.raises(SongError) as refused:
        mini().splice([part(song(1), 0, 251)])
    assert refused.value.field == "parts.0.end_sec"


def test_a_mono_part_is_the_same_in_both_channels_of_a_stereo_song():
    stereo = [song(1)[0][:1], song(1)[1]]
    top, middle = mini().splice([part(stereo, 0, 10), part(song(2), 20, 30, row=1)])
    assert torch.equal(top[0, 10:], song(2)[0][1, 20:30])
    assert middle.shape == (2, 80)
    assert torch.equal(middle[:, :40], song(1)[1][:, :40])
    assert torch.equal(middle[:, 40:], song(2)[1][1:, 80:120].expand(2, -1))
