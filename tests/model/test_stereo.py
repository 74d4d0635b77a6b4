"""Stereo in the library: rows of both channels, what begins a song, and sound of two channels."""

import numpy as np
import pytest
import torch

from jukebox_core.channels import channels_of_rows, noise_sample, rows_of_take, spread_rows
from jukebox_core.errors import SongError
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

LENGTH = 20
OPTIONS = {"seed": 7, "song_duration_sec": 62.0}


def model():
    return model_with("prior_5b_lyrics")


def labels():
    return labels_of_both_songs(model().tokenizer)


def song(**options):
    return model().ancestral_sample(
        labels(), duration_sec=top_seconds(LENGTH), **(OPTIONS | options)
    )


def test_the_left_channel_is_the_mono_song_and_the_sound_has_both():
    mono, stereo = song(), song(channels=2)
    assert torch.equal(stereo[0], mono[0])
    for old, new in zip(mono[1:], stereo[1:], strict=True):
        left, right = new.chunk(2)
        assert torch.equal(left, old)
        assert not any(torch.equal(*rows) for rows in zip(left, right, strict=True))
    sound = model().decode(stereo)
    assert sound.shape[0::2] == (2, 2)
    torch.testing.assert_close(sound[..., :1], model().decode(mono), atol=1e-5, rtol=0)
    assert model().decode(stereo[:1]).shape[2] == 1, "a draft is the same in both channels"


@pytest.mark.parametrize("speed", ["exact", "parallel"])
def test_early_sound_has_both_channels(speed):
    duration_sec = top_seconds(LENGTH)
    options = {**OPTIONS, "speed": speed, "channels": 2}
    codes = model().ancestral_sample(labels(), duration_sec=duration_sec, **options)
    pieces = model().iter_sound(labels(), duration_sec=duration_sec, **options)
    sound = torch.cat(list(pieces), dim=1)
    torch.testing.assert_close(sound, model().decode(codes), atol=1e-5, rtol=0)


def test_one_take_goes_on_with_both_of_its_channels():
    codes = song(channels=2)
    longer = model().continue_sample(
        codes,
        labels().song(1),
        3,
        duration_sec=top_seconds(LENGTH + 5),
        row=1,
        **OPTIONS,
    )
    assert [len(stream) for stream in longer] == [3, 6, 6]
    for old, new in zip(codes[1:], longer[1:], strict=True):
        for channel, rows in enumerate(new.chunk(2)):
            begun = rows[:, : old.shape[1]]
            assert torch.equal(begun, old[1 + 2 * channel].expand_as(begun))


def test_mono_goes_on_in_stereo_and_stereo_in_mono():
    mono, stereo = song(), song(channels=2)
    options = {"duration_sec": top_seconds(LENGTH + 5), **OPTIONS}
    wide = model().continue_sample(mono, labels(), channels=2, **options)
    narrow = model().continue_sample(stereo, labels(), channels=1, **options)
    for old, new in zip(mono[1:], wide[1:], strict=True):
        assert torch.equal(new[:, : old.shape[1]], torch.cat([old, old]))
    for old, new in zip(mono, narrow, strict=True):
        assert torch.equal(new[:, : old.shape[1]], old)


def test_labels_of_a_channel_are_read_below_the_top_alone():
    other = model().tokenizer("Céline Dion", "Classic Pop", "other words " * 9)
    plain = song(channels=2)
    codes = song(channels=2, channel_labels=[None, other])
    assert torch.equal(codes[0], plain[0])
    for old, new in zip(plain[1:], codes[1:], strict=True):
        left, right = new.chunk(2)
        assert torch.equal(left, old.chunk(2)[0])
        assert not torch.equal(right, old.chunk(2)[1])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"channels": 3}, "channels"),
        ({"channels": 0}, "channels"),
        ({"channels": 2, "channel_labels": [None]}, "channel_labels"),
        ({"channel_labels": [None, None]}, "channel_labels"),
    ],
)
def test_what_is_no_stereo_is_refused(options, field):
    with pytest.raises(SongError) as caught:
        song(**options)
    assert caught.value.field == field


def test_codes_whose_levels_differ_in_channels_are_refused():
    top, middle, bottom = song(channels=2)
    with pytest.raises(SongError, match=r"wanted whole numbers \[4, tokens\]"):
        model().upsample([top, middle, bottom[:2]], labels(), **OPTIONS)


def test_rows_are_all_left_channels_and_then_all_right_ones():
    codes = np.arange(6)[:, None]
    assert list(rows_of_take(1, 3, 6)) == [1, 4]
    assert channels_of_rows(6, 3) == 2
    one = spread_rows(codes[[1, 4]], num_given_takes=1, num_takes=3, num_channels=2)
    assert one[:, 0].tolist() == [1, 1, 1, 4, 4, 4]
    wide = spread_rows(codes[:3], num_given_takes=3, num_takes=3, num_channels=2)
    assert wide[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    narrow = spread_rows(codes, num_given_takes=3, num_takes=3, num_channels=1)
    assert narrow[:, 0].tolist() == [0, 1, 2]
    numbers = [noise_sample(row, 16, 5) for row in range(32)]
    assert numbers[:16] == list(range(5, 21))
    assert len(set(numbers)) == 32
    for rows, takes in ((5, 3), (9, 3), (0, 3), (2, 0)):
        with pytest.raises(ValueError, match="rows are not those of"):
            channels_of_rows(rows, takes)
    with pytest.raises(ValueError, match="codes of 2 songs"):
        spread_rows(codes[:2], num_given_takes=2, num_takes=3, num_channels=1)
