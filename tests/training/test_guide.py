"""The guide: from times of characters to a loss on attention."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jukebox_core.labels import LyricAlphabet
from jukebox_core.training.dataset.manifest import CharacterTimes
from jukebox_core.training.priors.guide import (
    NOT_SUNG,
    GuidedHead,
    attention_hits,
    columns_of,
    guide_loss,
    sung_characters,
)


def song(lyrics, starts, ends):
    times = CharacterTimes(np.array(starts, dtype=float), np.array(ends, dtype=float))
    return SimpleNamespace(lyrics=lyrics, character_times=times, sample_rate_hz=16_000)


def test_a_token_hears_the_character_that_is_sung_in_its_middle():
    # Tokens of 10 ms: their middles are at 5, 15, 25 ms ...
    sung = sung_characters(
        song("l a", [0.0, math.nan, 0.026], [0.015, math.nan, 0.046]),
        LyricAlphabet("v3"),
        samples_per_token=160,
        num_tokens=6,
    )
    assert sung.tolist() == [0, NOT_SUNG, NOT_SUNG, 2, 2, NOT_SUNG]


def test_characters_are_counted_as_the_alphabet_encodes_them():
    # The eszett becomes two characters, the plus sign none in v3.
    sung = sung_characters(
        song("ß+a", [math.nan, math.nan, 0.0], [math.nan, math.nan, 0.02]),
        LyricAlphabet("v3"),
        samples_per_token=160,
        num_tokens=2,
    )
    assert LyricAlphabet("v3").encode("ß+a")[2:] == LyricAlphabet("v3").encode("a")
    assert sung.tolist() == [2, 2]


def test_without_times_nothing_is_known():
    nothing = SimpleNamespace(lyrics="la", character_times=None, sample_rate_hz=16_000)
    assert sung_characters(nothing, LyricAlphabet("v3"), samples_per_token=1, num_tokens=1) is None


@pytest.mark.parametrize(
    ("indices", "columns"),
    [
        ((-1, -1, 0, 1, 2), [2, 4, NOT_SUNG, NOT_SUNG]),  # short lyrics, behind padding
        ((1, 2, 3, 4, 5), [NOT_SUNG, 1, 4, NOT_SUNG]),  # a part of long ones
        ((-1, -1), [NOT_SUNG] * 4),  # an instrumental
    ],
)
def test_a_character_stands_in_the_column_that_holds_it(indices, columns):
    characters = np.array([0, 2, 5, NOT_SUNG], dtype=np.int32)
    assert columns_of(characters, indices).tolist() == columns


def test_the_loss_is_the_mean_surprise_at_the_true_characters():
    attention = torch.full((1, 2, 3, 4), 0.1)
    attention[0, 0, 0, 1] = 0.5
    attention[0, 0, 2, 3] = 0.25
    columns = torch.tensor([[1, NOT_SUNG, 3]])
    loss = guide_loss(attention, columns, (GuidedHead(0),))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2, rel=1e-5)


def test_a_shifted_head_is_taught_the_next_character_and_nothing_past_the_last():
    attention = torch.full((1, 2, 2, 4), 0.1)
    attention[0, 1, 0, 2] = 0.5
    columns = torch.tensor([[1, 3]])
    loss = guide_loss(attention, columns, (GuidedHead(1, shift=1),))
    assert loss.item() == pytest.approx(-math.log(0.5), rel=1e-5)


def test_where_nothing_is_sung_the_loss_is_zero_and_has_a_gradient():
    attention = torch.full((1, 1, 2, 4), 0.25, requires_grad=True)
    loss = guide_loss(attention, torch.full((1, 2), NOT_SUNG), (GuidedHead(0),))
    loss.backward()
    assert loss.item() == 0.0
    assert not attention.grad.any()


def test_a_peak_within_one_character_is_a_hit():
    attention = torch.zeros(1, 1, 4, 6)
    for token, peak in enumerate((2, 3, 4, 0)):
        attention[0, 0, token, peak] = 1.0
    hits, num_sung = attention_hits(attention, torch.tensor([[2, 2, 2, NOT_SUNG]]), 0)
    assert (hits.item(), num_sung.item()) == (2, 3)
