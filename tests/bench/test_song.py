"""The measurement of whole songs runs, and says what it promises to say."""

import pytest
import torch

from bench import song
from jukebox_core.tiny import tiny_config
from tests.bench.last_line import last_line


def test_both_speeds_are_compared_in_time_and_at_the_joins():
    told = last_line(song.main, "--songs", 1, "--seconds", 3, "--backend", "torch", "--cold")
    assert (told["model"], told["backend"], told["song_seconds"]) == ("tiny", "torch", 3.0)
    exact, parallel = (told[speed]["sampling_seconds"] for speed in ("exact", "parallel"))
    assert told["times_faster"] == pytest.approx(exact / parallel, rel=0.01)
    for level in ("middle", "bottom"):
        joins = told["joins"][level]
        assert joins["joins"] > 0
        assert 0 <= joins["codes_that_agree"] <= 1
        assert 0 <= joins["mean_rank"] <= 1
        assert joins["db_at_joins"] > 0 < joins["db_elsewhere"]


def test_a_released_model_sings_with_random_weights(monkeypatch):
    monkeypatch.setattr(song, "released_config", lambda _: tiny_config())
    few = ("--songs", 1, "--seconds", 2, "--speed", "exact", "--cold")
    told = last_line(song.main, "5b_lyrics", *few, "--precision", "int8")
    assert told["exact"]["sampling_seconds"] > 0 < told["exact"]["decoding_seconds"]
    assert told["exact"]["music_seconds_per_second"] > 0
    assert "joins" not in told


def test_a_change_of_the_tone_is_found():
    time = torch.arange(8192) / 16_000
    low, high = (torch.sin(2 * torch.pi * hz * time) for hz in (440, 3000))
    changed = torch.cat((low[:4096], high[4096:]))
    assert song.change_at(changed, 4096, 512) > 3 * song.change_at(changed, 2048, 512)
