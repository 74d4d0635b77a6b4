"""Redoing a section: exactly the section is another one, whatever is drawn beside it."""

from functools import cache

import pytest
import torch

from jukebox_core.errors import SongError
from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.infill import Infill, section_infills
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.model.test_slow_twin import LONG, OPTIONS, SHORT, generate, labels, model, twin
from tests.parity.golden import top_seconds
from tests.slow_twin import equals, sample_song

TOP_AND_MIDDLE = COARSE_TO_FINE[:2]
SECTIONS = [(SHORT, 1, 3), (SHORT, 0, 5), (LONG, 20, 40), (LONG, 30, 70), (LONG, 0, 9)]


def redo(codes, first, end, **options):
    options = {**OPTIONS, "seed": 8, **options}
    song = options.pop("labels", None) or labels()
    return model().redo_sample(
        codes, song, start_sec=top_seconds(first), end_sec=top_seconds(end) - 1e-6, **options
    )


@cache
def song(num_top_tokens):
    return generate(num_top_tokens)


@cache
def mini():
    return JukeboxModel.from_pretrained("mini")


@cache
def mini_song():
    """Eight seconds, of which the top and the middle level are there."""
    names = mini().tokenizer("orlavane", "tidedub", "hello hello")
    options = {"levels": TOP_AND_MIDDLE, "seed": 3, "song_duration_sec": 8.0}
    return mini().ancestral_sample(names, 2, duration_sec=8.0, **options), names


def mini_redo(codes, names, *, start_sec=2.0, end_sec=3.5, **options):
    options = {"levels": TOP_AND_MIDDLE, "seed": 4, "song_duration_sec": 8.0, **options}
    return mini().redo_sample(codes, names, start_sec=start_sec, end_sec=end_sec, **options)


@pytest.mark.parametrize(("total", "first", "end"), SECTIONS)
def test_a_section_is_the_slow_twins(total, first, end):
    wanted = sample_song(
        model(),
        labels(),
        duration_sec=top_seconds(total),
        old=twin(total),
        infills=section_infills(model().config.time_base, first, end, total),
        **{**OPTIONS, "seed": 8},
    )
    redone = redo(song(total), first, end)
    assert equals(redone, wanted)
    assert not equals(redone, twin(total))


def test_every_row_of_a_batch_is_redone_as_it_would_be_alone():
    takes = redo(song(LONG), 20, 40, n_samples=3, max_batch_size=2)
    for row in range(3):
        alone = redo(song(LONG), 20, 40, first_sample=row)
        assert all(torch.equal(a[row], b[0]) for a, b in zip(takes, alone, strict=True))
    assert not torch.equal(takes[0][0], takes[0][1])


def test_codes_outside_the_section_and_its_margin_are_the_same_to_the_bit():
    codes, names = mini_song()
    redone = mini_redo(codes, names)
    infills = section_infills(mini().config.time_base, 125, 219, 500)
    for level, old, new in zip(TOP_AND_MIDDLE, codes, redone, strict=True):
        (infill,) = infills[level]
        assert torch.equal(old[:, : infill.start], new[:, : infill.start])
        assert torch.equal(old[:, infill.join_end :], new[:, infill.join_end :])
        same = (old == new)[:, infill.start : infill.end].float().mean()
        assert same < 0.6


def test_with_the_noise_of_the_old_song_the_middle_finds_back_to_its_codes(monkeypatch):
    monkeypatch.setattr(Infill, "join", lambda *_: None)
    codes, names = mini_song()
    infills = section_infills(mini().config.time_base, 125, 219, 500)
    (infill,) = infills[Level.MIDDLE]
    behind = slice(infill.end, infill.join_end)

    def agreement(**options):
        redone = [mini_redo(codes, names, seed=seed, **options)[1] for seed in (4, 5, 6)]
        return sum(float((new == codes[1])[:, behind].float().mean()) for new in redone)

    assert agreement(old_seed=3) > 1.3 * agreement()


def test_a_row_that_is_chosen_meets_the_noise_it_was_drawn_with():
    codes, names = mini_song()
    both = mini_redo(codes, names, old_seed=3)
    second = mini_redo(codes, names, row=1, old_seed=3)
    assert torch.equal(second[0][0], both[0][1])
    assert torch.equal(second[1][0], both[1][1])


def test_the_finer_levels_of_a_draft_are_sampled_whole():
    draft = song(LONG)[:1]
    redone = redo(draft, 20, 40)
    assert [stream.shape[1] for stream in redone] == [LONG, 4 * LONG, 16 * LONG]
    upsampled = model().upsample(redone[:1], labels(), **{**OPTIONS, "seed": 8})
    assert all(torch.equal(a, b) for a, b in zip(redone, upsampled, strict=True))


def test_a_song_whose_middle_was_interrupted_is_finished_too():
    top, middle, _ = song(LONG)
    for num_middle in (60, 100, 200):
        redone = redo([top, middle[:, :num_middle]], 20, 40)
        assert [stream.shape[1] for stream in redone] == [LONG, 4 * LONG, 16 * LONG]
        kept = min(num_middle, 80)
        assert torch.equal(redone[1][:, :kept], middle[:, :kept])


def test_both_channels_of_a_stereo_song_are_redone():
    stereo = redo(song(LONG), 20, 40, channels=2, old_seed=7)
    assert [len(stream) for stream in stereo] == [1, 2, 2]
    mono = redo(song(LONG), 20, 40, old_seed=7)
    assert all(torch.equal(a[:1], b) for a, b in zip(stereo, mono, strict=True))
    assert not torch.equal(stereo[1][0], stereo[1][1])


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.4), (90.0, None), (0.0, 90.0)])
def test_a_section_outside_the_song_is_refused(start, end):
    with pytest.raises(SongError, match=r"which lasts|leaves nothing"):
        model().redo_sample(song(LONG), labels(), start_sec=start, end_sec=end, **OPTIONS)
