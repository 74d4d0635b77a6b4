"""Tensors into files and back."""

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from jukebox_core.audio import AudioFormat, map_audio, read_audio, resample, write_audio
from jukebox_core.errors import AudioError

RATE_HZ = 16_000


def sine(seconds, hertz=440.0, rate_hz=RATE_HZ, loudness=0.5):
    time = torch.arange(int(seconds * rate_hz)) / rate_hz
    return loudness * torch.sin(2 * torch.pi * hertz * time)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_lossless_file_gives_back_the_samples_to_sixteen_bits(tmp_path, suffix):
    audio = sine(2.0).unsqueeze(1)
    write_audio(tmp_path / f"song.{suffix}", audio, RATE_HZ)
    again = read_audio(tmp_path / f"song.{suffix}", sample_rate_hz=RATE_HZ)
    assert again.shape == audio.shape
    torch.testing.assert_close(again, audio, rtol=0, atol=1.0 / 32_767)
    assert soundfile.info(tmp_path / f"song.{suffix}").subtype == "PCM_16"


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_a_lossy_file_sounds_like_the_song(tmp_path, suffix):
    audio = sine(2.0)
    write_audio(tmp_path / f"song.{suffix}", audio, RATE_HZ)
    again = read_audio(tmp_path / f"song.{suffix}", sample_rate_hz=RATE_HZ)[:, 0]
    assert abs(len(again) - len(audio)) < RATE_HZ // 10
    assert spectral_peak(again) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_both_channels_of_a_stereo_song_stay_what_they_are(tmp_path, suffix, rate_hz):
    """libsndfile 1.2.2 makes noise of 16-bit samples in MP3 files of two channels."""
    left, right = sine(2.0, rate_hz=rate_hz), sine(2.0, rate_hz=rate_hz).roll(13)
    audio = torch.stack([left, 0.25 * right], dim=1)
    path = tmp_path / f"song.{suffix}"
    write_audio(path, audio, rate_hz)
    again, found_hz = soundfile.read(path, dtype="float32")
    assert (again.shape[1], found_hz) == (2, rate_hz)
    middle = slice(rate_hz // 2, rate_hz)
    expected = audio.square()[middle].mean(dim=0).sqrt()
    found = torch.from_numpy(again).square()[middle].mean(dim=0).sqrt()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.0)


def spectral_peak(audio):
    return float(torch.fft.rfft(audio).abs().argmax()) * RATE_HZ / len(audio)


@pytest.mark.parametrize("audio_format", AudioFormat)
def test_a_minute_is_written_in_blocks_that_no_encoder_dies_of(tmp_path, audio_format):
    path = tmp_path / f"minute.{audio_format}"
    write_audio(path, sine(60.0, rate_hz=44_100), 44_100)
    assert soundfile.info(path).duration == pytest.approx(60.0, abs=0.1)


def test_what_is_too_loud_is_clipped_and_does_not_wrap_around(tmp_path):
    write_audio(
        tmp_path / "loud.wav", torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0, torch.nan]), RATE_HZ
    )
    samples, _ = soundfile.read(tmp_path / "loud.wav", dtype="int16")
    assert samples.tolist() == [-32_768, -32_768, 0, 32_767, 32_767, 0]


def test_arrays_are_written_like_tensors(tmp_path):
    audio = sine(0.1)
    write_audio(tmp_path / "tensor.wav", audio, RATE_HZ)
    write_audio(str(tmp_path / "array.wav"), audio.numpy()[:, None], RATE_HZ)
    assert (tmp_path / "tensor.wav").read_bytes() == (tmp_path / "array.wav").read_bytes()


def test_the_format_can_be_told_when_the_suffix_does_not(tmp_path):
    write_audio(tmp_path / "unfinished", sine(0.1), RATE_HZ, audio_format=AudioFormat.FLAC)
    assert soundfile.info(tmp_path / "unfinished").format == "FLAC"


def test_a_comment_is_kept_in_the_file(tmp_path):
    write_audio(tmp_path / "song.flac", sine(0.1), RATE_HZ, comment="sung by a machine")
    with soundfile.SoundFile(tmp_path / "song.flac") as file:
        assert file.comment == "sung by a machine"


def test_stereo_of_another_rate_becomes_mono_of_the_wanted_one(tmp_path):
    left, right = sine(1.0, rate_hz=44_100), sine(1.0, hertz=1000, rate_hz=44_100)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 44_100)
    audio = read_audio(tmp_path / "stereo.wav", sample_rate_hz=RATE_HZ)
    assert audio.shape == (RATE_HZ, 1)
    assert audio.dtype == torch.float32
    wanted = (sine(1.0) + sine(1.0, hertz=1000)) / 2
    inside = slice(200, -200)  # the resampler's edges
    torch.testing.assert_close(audio[inside, 0], wanted[inside], rtol=0, atol=2e-3)


def test_a_part_of_a_file_is_read(tmp_path):
    audio = torch.linspace(-0.5, 0.5, RATE_HZ)
    write_audio(tmp_path / "ramp.wav", audio, RATE_HZ)
    part = read_audio(
        tmp_path / "ramp.wav", sample_rate_hz=RATE_HZ, offset_sec=0.25, duration_sec=0.5
    )
    torch.testing.assert_close(
        part[:, 0], audio[RATE_HZ // 4 : 3 * RATE_HZ // 4], rtol=0, atol=1e-4
    )


def test_resampling_keeps_the_length_in_seconds():
    assert len(resample(sine(3.0), RATE_HZ, 44_100)) == pytest.approx(3 * 44_100, abs=2)


def test_reading_past_the_end_is_refused(tmp_path):
    write_audio(tmp_path / "short.wav", sine(0.5), RATE_HZ)
    with pytest.raises(AudioError, match="no sound at 1 s"):
        read_audio(tmp_path / "short.wav", sample_rate_hz=RATE_HZ, offset_sec=1.0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"no sound file .*gone\.wav") as caught:
        read_audio(tmp_path / "gone.wav", sample_rate_hz=RATE_HZ)
    assert str(caught.value).count("gone.wav") == 1


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam")
    with pytest.raises(AudioError, match="is not sound"):
        read_audio(tmp_path / "letter.wav", sample_rate_hz=RATE_HZ)


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(AudioError, match=r"song\.aiff ends in none of \.wav, \.flac, \.ogg, \.mp3"):
        write_audio(tmp_path / "song.aiff", sine(0.1), RATE_HZ)


@pytest.mark.parametrize("shape", [(2, 100), (1, 100, 1), ()])
def test_a_tensor_that_is_not_one_song_is_refused(tmp_path, shape):
    with pytest.raises(AudioError, match=r"wanted \[samples\]"):
        write_audio(tmp_path / "song.wav", torch.zeros(shape), RATE_HZ)


def test_a_rate_that_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(AudioError, match="cannot be written at 12345 Hz"):
        write_audio(tmp_path / "song.mp3", sine(0.1), 12_345)


@pytest.mark.parametrize("file_rate_hz", [16_000, 22_050, 48_000])
def test_a_mapped_sound_is_the_one_that_is_read(tmp_path, file_rate_hz):
    file = tmp_path / "sound.wav"
    generator = torch.Generator().manual_seed(0)
    write_audio(file, torch.randn(3 * file_rate_hz + 11, generator=generator) / 5, file_rate_hz)
    for part in ({}, {"offset_sec": 0.7}, {"offset_sec": 1.1, "duration_sec": 0.3}):
        wanted = read_audio(file, sample_rate_hz=16_000, **part)
        with map_audio(file, sample_rate_hz=16_000, folder=tmp_path, **part) as audio:
            torch.testing.assert_close(audio, wanted, rtol=0, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["sound.wav"]
    with (
        pytest.raises(AudioError, match="no sound at 9 s"),
        map_audio(file, sample_rate_hz=16_000, offset_sec=9.0),
    ):
        pass


def test_a_long_sound_is_mapped_without_being_in_memory(tmp_path):
    file = tmp_path / "long.wav"
    write_audio(file, torch.zeros(240 * 44_100), 44_100)
    tracemalloc.start()
    try:
        with map_audio(file, sample_rate_hz=44_100) as audio:
            assert len(audio) == 240 * 44_100
            _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(audio) / 10
