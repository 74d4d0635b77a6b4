"""The list of songs, and their sound."""

import csv
import json

import numpy as np
import pytest

from jukebox_core.audio import write_audio
from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.data import CACHE_FOLDER, TrainingData
from jukebox_core.training.dataset.manifest import read_manifest


def write_songs(folder, rows, *, sample_rate_hz=16_000):
    """A folder with a JSON list of songs; those whose file is not there get half a second."""
    folder.mkdir(exist_ok=True)
    for row in rows:
        if "file" in row and not (folder / row["file"]).exists():
            tone = np.sin(np.arange(sample_rate_hz // 2) * 0.1).astype(np.float32) * 0.5
            write_audio(folder / row["file"], tone, sample_rate_hz)
    (folder / "songs.json").write_text(json.dumps(rows))
    return folder


def test_a_list_in_csv_says_the_same_as_one_in_json(tmp_path):
    rows = [
        {"file": "a.wav", "artist": "ann", "genre": "hum", "lyrics": "la, la", "held_out": "no"},
        {"file": "b.wav", "artist": "bob", "genre": "", "lyrics": "", "held_out": "yes"},
    ]
    write_songs(tmp_path, rows)
    from_json = read_manifest(tmp_path)
    (tmp_path / "songs.json").unlink()
    with (tmp_path / "songs.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for one, other in zip(from_json, read_manifest(tmp_path), strict=True):
        assert (one.name, one.artist, one.genre, one.lyrics, one.held_out) == (
            (other.name, other.artist, other.genre, other.lyrics, other.held_out)
        )
    assert [entry.genre for entry in from_json] == ["hum", "unknown"]
    assert [entry.held_out for entry in from_json] == [False, True]


def test_lyrics_may_lie_in_a_file_beside_the_list(tmp_path):
    (tmp_path / "a.txt").write_text("words\n")
    write_songs(tmp_path, [{"file": "a.wav", "lyrics": "a.txt"}])
    assert read_manifest(tmp_path)[0].lyrics == "words\n"


def test_line_breaks_of_other_systems_are_line_breaks(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"there\ris\x0chope")
    write_songs(
        tmp_path,
        [{"file": "a.wav", "lyrics": "a.txt"}, {"file": "b.wav", "lyrics": "there\ris"}],
    )
    assert [song.lyrics for song in read_manifest(tmp_path)] == ["there\nis\nhope", "there\nis"]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_list_or_lyrics_in_another_encoding_are_refused_with_what_to_do(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("caf\u00e9", encoding=encoding)
    write_songs(tmp_path, [{"file": "a.wav", "lyrics": "a.txt"}])
    with pytest.raises(TrainingError, match=r"song 1.*a\.txt is not UTF-8.*iconv"):
        read_manifest(tmp_path)
    (tmp_path / "songs.json").unlink()
    (tmp_path / "songs.csv").write_text("file,lyrics\na.wav,caf\u00e9\n", encoding=encoding)
    with pytest.raises(TrainingError, match=r"songs\.csv is not UTF-8.*iconv"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"artist": "ann"}, "names no file"),
        ({"file": "a.wav", "artist": 3}, "artist should be text"),
        ({"file": "a.wav", "lyrics": "gone.txt"}, "gone.txt"),
        ({"file": "a.wav", "held_out": "perhaps"}, "held_out"),
        ({"file": "a.wav", "lyrics": "la", "character_start_sec": [0.0]}, "2 characters"),
        (
            {
                "file": "a.wav",
                "lyrics": "la",
                "character_start_sec": [0.0, 0.2],
                "character_end_sec": [0.1, 0.1],
            },
            "ends before it starts",
        ),
        ({"file": "a.wav", "bar_start_sec": "often"}, "list of seconds"),
        ({"file": "a.wav", "notes": 3}, "a note is"),
        ({"file": "a.wav", "notes": [[0.0, 1.0]]}, "a note is"),
        ({"file": "a.wav", "notes": [[0.0, 1.0, "c"]]}, "a note is"),
        ({"file": "a.wav", "notes": [[0.0, 1.0, 128]]}, "MIDI"),
        ({"file": "a.wav", "notes": [[1.0, 0.5, 60]]}, "order of time"),
        ({"file": "a.wav", "notes": [[1.0, 2.0, 60], [0.0, 1.0, 60]]}, "order of time"),
        ({"file": "a.wav", "chords": [[0.0, 1.0]]}, "a chord is"),
        ({"file": "a.wav", "chords": [[0.0, 1.0, []]]}, "a chord is"),
        ({"file": "a.wav", "chords": [[0.0, 1.0, [0, 12]]]}, "a chord is"),
        ({"file": "a.wav", "chords": [[0.0, 1.0, [0.5]]]}, "a chord is"),
        ({"file": "a.wav", "chords": [[2.0, 1.0, [0]]]}, "order of time"),
        ({"file": "a.wav", "bar_start_sec": 1.5}, "list of seconds"),
        ({"file": "a.wav", "bar_start_sec": [0.0, None]}, "each after the last"),
        ({"file": "a.wav", "bar_start_sec": [0.0, 2.0, 2.0]}, "each after the last"),
    ],
)
def test_a_row_at_fault_is_named_with_what_is_wrong_with_it(tmp_path, row, told):
    write_songs(tmp_path, [{"file": "fine.wav"}, row])
    with pytest.raises(TrainingError, match=r"song 2") as caught:
        read_manifest(tmp_path)
    assert told in str(caught.value)


def test_a_file_that_is_listed_but_not_there_is_named(tmp_path):
    (tmp_path / "songs.json").write_text('[{"file": "gone.wav"}]')
    with pytest.raises(TrainingError, match=r"song 1: there is no file .*gone\.wav"):
        read_manifest(tmp_path)


def test_a_folder_without_a_list_is_told_what_to_write(tmp_path):
    with pytest.raises(TrainingError, match=r"songs\.json nor songs\.csv"):
        read_manifest(tmp_path)


def test_the_choice_of_held_out_songs_stays_when_the_list_grows(tmp_path):
    rows = [{"file": f"{number}.wav"} for number in range(120)]
    write_songs(tmp_path, rows[:100])
    before = {entry.name for entry in read_manifest(tmp_path) if entry.held_out}
    write_songs(tmp_path, rows)
    after = {entry.name for entry in read_manifest(tmp_path) if entry.held_out}
    assert 1 <= len(before) < 10
    assert before <= after


def test_sound_is_read_once_resampled_and_then_comes_from_the_cache(tmp_path):
    write_songs(tmp_path, [{"file": "a.wav"}, {"file": "b.wav"}], sample_rate_hz=8_000)
    told = []
    first = TrainingData(tmp_path, 16_000, report=told.append)
    again = TrainingData(tmp_path, 16_000, report=told.append)
    assert len(told) == 1
    for one, other in zip(first.all_songs(), again.all_songs(), strict=True):
        assert one.num_samples == 8_000
        assert one.audio().dtype == np.float32
        np.testing.assert_array_equal(one.audio(), other.audio())
        np.testing.assert_array_equal(one.audio(100, 50), one.audio()[100:150])
    assert abs(np.abs(first.all_songs()[0].audio()).max() - 0.5) < 0.02


def test_a_song_that_was_changed_is_read_anew_and_the_old_cache_goes(tmp_path):
    write_songs(tmp_path, [{"file": "a.wav"}])
    TrainingData(tmp_path, 16_000)
    write_audio(tmp_path / "a.wav", np.zeros(4_000, dtype=np.float32), 16_000)
    assert TrainingData(tmp_path, 16_000).all_songs()[0].num_samples == 4_000
    assert len(list((tmp_path / CACHE_FOLDER).glob("*.f32"))) == 1


def test_a_file_that_is_no_sound_is_named_and_leaves_no_cache(tmp_path):
    write_songs(tmp_path, [{"file": "a.wav"}])
    (tmp_path / "b.wav").write_text("words")
    write_songs(tmp_path, [{"file": "a.wav"}, {"file": "b.wav"}])
    with pytest.raises(TrainingError, match=r"song b\.wav"):
        TrainingData(tmp_path, 16_000)
    assert not list((tmp_path / CACHE_FOLDER).glob("*.f32*"))


def test_a_song_may_tell_when_its_bars_begin(tmp_path):
    rows = [{"file": "a.wav", "bar_start_sec": [0, 1.5, 3]}, {"file": "b.wav"}]
    with_bars, without = read_manifest(write_songs(tmp_path, rows))
    assert with_bars.bar_start_sec.tolist() == [0.0, 1.5, 3.0]
    assert without.bar_start_sec is None


def test_character_times_keep_null_as_not_sung(tmp_path):
    row = {
        "file": "a.wav",
        "lyrics": "l a",
        "character_start_sec": [0.0, None, 0.2],
        "character_end_sec": [0.1, None, 0.3],
    }
    times = read_manifest(write_songs(tmp_path, [row]))[0].character_times
    assert np.isnan(times.start_sec).tolist() == [False, True, False]


def test_notes_and_chords_of_the_list_are_those_of_the_song(tmp_path):
    rows = [
        {"file": "a.wav", "notes": [[0.0, 0.5, 60, "a"]], "chords": [[0, 1, [9, 0, 4]]]},
        {"file": "b.wav"},
        {"file": "c.wav", "notes": [], "chords": []},
    ]
    known, unknown, silent = TrainingData(write_songs(tmp_path, rows), 16_000).all_songs()
    assert known.melody.midi.tolist() == [60.0]
    assert known.chords.bass.tolist() == [9]
    assert known.chords.members[0].nonzero()[0].tolist() == [0, 4, 9]
    assert unknown.melody is None
    assert unknown.chords is None
    assert len(silent.melody.midi) == len(silent.chords.bass) == 0
