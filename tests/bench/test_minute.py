"""The measurement of a minute of music runs on a tiny model, and the plan of memory is the issue's
own figures.
"""

import json

import pytest
import torch

from bench import memory, minute
from bench.engine_song import SongsInEngine
from bench.minute import plan_of
from bench.ways import Way
from jukebox_core import JukeboxModel
from jukebox_core.labels import Labels, SongLabels
from jukebox_core.song import Speed
from jukebox_core.units import COARSE_TO_FINE, Level


def last_line(capsys, main, *arguments):
    main([*arguments])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_song_is_estimated_and_drawn_in_every_way(capsys):
    small = ("--seconds", "1.5", "--tokens", "8", "--songs", "1", "2", "--draw")
    told = last_line(capsys, minute.main, "tiny", "--precision", "fp32", "int8", *small)
    assert (told["model"], told["song_seconds"], told["device"]) == ("tiny", 1.5, "cpu")
    assert [(row["precision"], row["speed"], row["songs"]) for row in told["rows"]] == [
        (precision, speed, songs)
        for precision in ("fp32", "int8")
        for speed in ("exact", "parallel")
        for songs in (1, 2)
    ]
    for row in told["rows"]:
        levels = row["levels"]
        assert list(levels) == list(row["drawn_levels"]) == ["top", "middle", "bottom"]
        segments = 1 if row["speed"] == "exact" else 2
        assert levels["bottom"]["rows"] >= row["songs"] * segments
        parts = sum(level["seconds"] for level in levels.values()) + row["sound_seconds"]
        assert row["estimated_seconds"] == pytest.approx(parts, abs=0.01)
        assert row["drawn_seconds"] > 0
        assert row["music_seconds_per_second"] > 0
        for level in levels.values():
            assert level["step_ms"] > 0
            assert level["floor_ms"] >= 0
            assert level["planned_mb"] > 0
            assert level["peak_mb"] is None  # nobody counts on a CPU
            assert level["warm_up_seconds"] >= 0


def test_segments_side_by_side_are_fewer_steps_of_more_rows(capsys):
    told = last_line(
        capsys, minute.main, "tiny", "--seconds", "4", "--tokens", "4", "--precision", "fp32"
    )
    exact, parallel = (row["levels"]["bottom"] for row in told["rows"])
    assert exact["steps"] == 4000
    assert parallel["steps"] < exact["steps"] / 4
    assert parallel["rows"] == 8


@pytest.mark.parametrize("speed", list(Speed))
def test_songs_in_the_engine_are_those_of_the_library(tiny_model_dir, speed):
    model = JukeboxModel.from_pretrained(tiny_model_dir)
    plan = plan_of(model.config, 2.0, speed)
    songs = SongsInEngine(
        config=model.config,
        priors={level: model.prior(level) for level in COARSE_TO_FINE},
        plan=plan,
        num_songs=2,
        device=torch.device("cpu"),
        way=Way(backend="torch"),
    )
    drawn = songs.draw()
    num_lyrics = model.config.prior(Level.TOP).lyrics.num_tokens
    words = tuple(1 + n % 26 for n in range(num_lyrics))
    labels = Labels(
        songs=(
            tuple(
                SongLabels(artist_id=1, genre_ids=(1,), lyric_ids=words if level == 2 else ())
                for level in COARSE_TO_FINE
            ),
        ),
        resolution=({},),
        max_genres=tuple(prior.labels.max_genres for prior in model.config.priors),
    )
    for seed in range(2):
        alone = model.ancestral_sample(
            labels, duration_sec=2.0, song_duration_sec=6.0, seed=seed, speed=speed
        )
        for level, codes in zip(COARSE_TO_FINE, alone, strict=True):
            heard = plan.levels[level].heard_tokens
            assert drawn[level][seed, :heard].tolist() == codes[0].tolist()
    assert set(songs.seconds) == set(COARSE_TO_FINE)


def test_one_song_takes_what_its_attention_can_still_read(capsys):
    """983 to 338 MB and not the 1.0 to 3.1 GB of keeping all, at full size in half precision."""
    rows = {row.pop("prior"): row for row in last_line(capsys, memory.main)["rows"]}
    kept = {name: row["keys_and_values_mb"] for name, row in rows.items()}
    assert kept == {"1b_lyrics": 337.8, "5b_lyrics": 983.0, "upsampler": 386.3}
    for row in rows.values():
        assert row["all_kept_mb"] > 2.5 * row["keys_and_values_mb"]
        assert row["weights_int8_mb"] < row["weights_fp16_mb"] < row["weights_fp32_mb"]
