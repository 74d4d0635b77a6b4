"""The measurements of songs run in their small forms, and say what they promise to say."""

import pytest
import torch

from bench.song import speeds
from bench.song.__main__ import main
from bench.song.changes import change_at
from jukebox_core.tiny import tiny_config
from tests.bench.last_line import last_line


def test_both_speeds_are_compared_in_time_and_at_the_joins():
    told = last_line(main, "speeds", "--songs", 1, "--seconds", 3, "--backend", "torch", "--cold")
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
    monkeypatch.setattr(speeds, "released_config", lambda _: tiny_config())
    few = ("--songs", 1, "--seconds", 2, "--speed", "exact", "--cold")
    told = last_line(main, "speeds", "5b_lyrics", *few, "--precision", "int8")
    assert told["exact"]["sampling_seconds"] > 0 < told["exact"]["decoding_seconds"]
    assert told["exact"]["music_seconds_per_second"] > 0
    assert "joins" not in told


def test_a_change_of_the_tone_is_found():
    time = torch.arange(8192) / 16_000
    low, high = (torch.sin(2 * torch.pi * hz * time) for hz in (440, 3000))
    changed = torch.cat((low[:4096], high[4096:]))
    assert change_at(changed, 4096, 512) > 3 * change_at(changed, 2048, 512)


def test_joins_are_measured_plain_mended_and_generated_anew():
    found = last_line(main, "splice", "mini", "--songs", 1, "--seconds", 2, "--mend", 0, 0.2)
    plain, mended, anew = found["splices"]
    assert [row["mend_seconds"] for row in (plain, mended, anew)] == [0, 0.2, None]
    for row in (plain, mended, anew):
        assert row["joins"] == 1
        assert row["db_at_joins"] > 0
        assert 0 <= row["rank_of_joins"] <= 1
        assert row["db_elsewhere"] > 0
    assert "db_at_returns" not in plain
    assert mended["db_at_returns"] > 0


def test_every_border_of_a_section_is_measured_with_both_kinds_of_noise():
    told = last_line(main, "redo", "--songs", 1, "--seconds", 4.5)
    assert told["model"] == "mini"
    assert [row["noise"] for row in told["sections"]] == ["old", "new"]
    for row in told["sections"]:
        assert set(row["db"]) == {"start", "top", "middle", "bottom"}
        assert all(0.0 <= rank <= 1.0 for rank in row["mean_rank"].values())
        assert all(0.0 <= share <= 1.0 for share in row["codes_that_agree"].values())
        assert row["db_elsewhere"] > 0.0


def test_the_mean_of_two_channels_lies_between_the_same_and_strangers():
    told = last_line(main, "stereo", "--songs", 1, "--seconds", 3)
    assert told["model"] == "mini"
    assert -3.5 < told["mono_db"] < -0.1
    assert -0.5 < told["correlation"] < 0.99
    assert told["cost"] == pytest.approx(told["stereo_sec"] / told["mono_sec"], rel=0.01)
