"""Two models of the synthetic music, seen and heard."""

import pytest
import soundfile
import torch

from recipes.mini import before_and_after as page
from recipes.mini.evaluation.process_pool import loaded_model

pytestmark = pytest.mark.nightly("recipe")


def test_the_same_songs_are_pictured_five_times_and_written_as_small_files(
    tiny_model_dir, tmp_path
):
    vqvae = loaded_model(tiny_model_dir, "cpu").vqvae
    songs = page.asked_songs(2, 16_000)
    assert len({(song.genre, song.artist) for song in songs}) == 2
    codes = torch.zeros(2, 160_000 // vqvae.config.samples_per_token[0], dtype=torch.int64)
    sounds = page.sounds_of(songs, vqvae, vqvae, (codes, codes))
    page.write_comparison(tmp_path, sounds, 16_000)
    picture = (tmp_path / "songs.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 5 * (240 + 6)
    assert int.from_bytes(picture[20:24], "big") == 2 * (128 + 6)
    heard = soundfile.info(tmp_path / "drawn-1.ogg")
    assert heard.duration == pytest.approx(10.0, abs=0.02)
    assert (tmp_path / "drawn-1.ogg").stat().st_size < 150_000
