"""Codes of songs, computed once."""

import numpy as np
import torch

from jukebox_core.checkpoints import load_vqvae_of
from jukebox_core.training.dataset.codes_cache import encode_all, song_codes
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.units import Level
from tests.training.test_data import write_songs


def songs_and_codec(tmp_path, tiny_model_dir):
    rows = [{"file": f"{name}.wav", "artist": name} for name in "abc"]
    data = TrainingData(write_songs(tmp_path / "data", rows), 16_000)
    return data, load_vqvae_of(tiny_model_dir)


def test_cached_codes_are_those_of_the_encoder_for_every_song_and_level(tmp_path, tiny_model_dir):
    data, vqvae = songs_and_codec(tmp_path, tiny_model_dir)
    cached = encode_all(data, vqvae)
    for song in data.all_songs():
        num_samples = song.num_samples // 256 * 256
        audio = torch.from_numpy(song.audio(0, num_samples)).view(1, -1, 1)
        for level, codes in zip(Level, vqvae.encode(audio), strict=True):
            np.testing.assert_array_equal(cached[level].of(song), codes[0].numpy())


def test_codes_are_computed_again_only_for_the_level_whose_encoder_changed(
    tmp_path, tiny_model_dir
):
    data, vqvae = songs_and_codec(tmp_path, tiny_model_dir)
    told = []
    encode_all(data, vqvae, report=told.append)
    assert len(told) == 3
    encode_all(data, vqvae, report=told.append)
    assert len(told) == 3
    with torch.no_grad():
        vqvae.codebooks[Level.MIDDLE].codes.add_(1.0)
    encode_all(data, vqvae, report=told.append)
    assert len(told) == 4
    assert "middle" in told[3]


def test_the_decoder_does_not_matter_for_codes(tmp_path, tiny_model_dir):
    data, vqvae = songs_and_codec(tmp_path, tiny_model_dir)
    told = []
    song_codes(data, vqvae, Level.TOP, report=told.append)
    with torch.no_grad():
        for weight in vqvae.decoders[Level.TOP].parameters():
            weight.zero_()
    song_codes(data, vqvae, Level.TOP, report=told.append)
    assert len(told) == 1
