"""A folder of songs: the same whoever writes it, and read back by training."""

import json

import numpy as np
import pytest
import soundfile

from jukebox_core.errors import SongError
from jukebox_core.training.dataset.manifest import read_manifest
from recipes.mini.synth import HELD_OUT_PAIRS, compose, write_songs
from recipes.mini.synth.folder import SHORT_SONG_SEC

pytestmark = pytest.mark.nightly("recipe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("songs")
    write_songs(out, 6, 5, duration_sec=(3.0, 4.0))
    return out


def test_a_folder_reads_as_training_data(folder):
    entries = read_manifest(folder)
    assert len(entries) == 6
    sung = next(entry for entry in entries if entry.lyrics)
    assert sung.character_times is not None
    assert len(sung.character_times.start_sec) == len(sung.lyrics)
    assert all(len(entry.bar_start_sec) > 1 for entry in entries)


def test_a_file_holds_the_song_of_the_seed_in_its_row(folder):
    row = json.loads((folder / "songs.json").read_text())[2]
    audio, sample_rate_hz = soundfile.read(folder / row["file"], dtype="float32")
    song = compose(
        row["seed"],
        genre=row["genre"],
        artist=row["artist"],
        duration_sec=None if row["lyrics"] == "" else len(audio) / sample_rate_hz,
    )
    assert row["lyrics"] == song.lyrics
    assert 3.0 <= len(audio) / 16_000 <= 4.0
    np.testing.assert_allclose(audio, song.audio[: len(audio)], atol=1e-4)


def test_more_processes_write_the_same_files(folder, tmp_path):
    counts = []
    write_songs(tmp_path, 6, 5, workers=2, duration_sec=(3.0, 4.0), on_song=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6]
    for file in ("songs.json", "audio/song_00000.wav", "audio/song_00005.wav"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_a_share_of_the_songs_is_short_and_the_others_stay_as_they_were(tmp_path, monkeypatch):
    seconds = {}

    def composed(seed, *, duration_sec, **told):
        seconds.setdefault(seed, []).append(duration_sec)
        return compose(seed, duration_sec=3.0, **(told | {"sections": False}))

    monkeypatch.setattr("recipes.mini.synth.folder.compose", composed)
    for share in (0.0, 0.5):
        write_songs(tmp_path / str(share), 40, 8, duration_sec=(8.0, 30.0), short_share=share)
    made_short = [both for both in seconds.values() if both[0] != both[1]]
    assert 12 <= len(made_short) <= 28
    assert all(8.0 <= short <= SHORT_SONG_SEC for _, short in made_short)
    with pytest.raises(SongError, match="short_share"):
        write_songs(tmp_path, 1, 1, short_share=-0.1)


def test_another_seed_writes_other_songs(folder, tmp_path):
    write_songs(tmp_path, 1, 6, duration_sec=(3.0, 3.0))
    name = "audio/song_00000.wav"
    assert (tmp_path / name).read_bytes() != (folder / name).read_bytes()


def test_pairs_come_equally_often_and_held_out_ones_only_when_asked_for(monkeypatch, tmp_path):
    def row(out, seed, number, pair, **options):
        return {"pair": list(pair)}

    monkeypatch.setattr("recipes.mini.synth.folder._write_song", row)
    for held_out, num_pairs in ((False, 56), (True, 64)):
        manifest = write_songs(tmp_path, 2 * num_pairs, 0, held_out_pairs=held_out)
        pairs = [tuple(row["pair"]) for row in json.loads(manifest.read_text())]
        assert {pairs.count(pair) for pair in set(pairs)} == {2}
        assert bool(set(pairs) & set(HELD_OUT_PAIRS)) == held_out


@pytest.mark.parametrize(
    ("num_songs", "duration_sec"), [(0, (8.0, 9.0)), (1, (9.0, 8.0)), (1, (0.0, 8.0))]
)
def test_numbers_out_of_range_are_refused(tmp_path, num_songs, duration_sec):
    with pytest.raises(SongError):
        write_songs(tmp_path, num_songs, 0, duration_sec=duration_sec)
