"""The reader of sound files: lengths, chains, open sizes and what nothing may be lost of."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from jukebox_core.audio import read_audio, write_audio
from jukebox_core.audio.headers import SoundKind, sniff_kind
from jukebox_core.audio.intake import check_sound, cut_sound
from jukebox_core.audio.reader import SoundReader
from jukebox_core.errors import AudioError

RATE_HZ = 22_050


def tone(seconds=1.0, hz=440.0, rate_hz=RATE_HZ):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def written(folder, name, samples, rate_hz=RATE_HZ, **options):
    soundfile.write(folder / name, samples, rate_hz, **options)
    return folder / name


def length_sec(path):
    """By every way in: the reader, the library's tensors, and the service's check."""
    sound = SoundReader(path)
    length = len(sound.read()) / sound.sample_rate_hz
    assert read_audio(path, sample_rate_hz=sound.sample_rate_hz).shape[0] == sound.num_frames
    assert check_sound(path).duration_sec == length
    return length


def without_xing(content):
    """An MP3 file without its first frame, which holds the header with the length."""
    start = content.index(b"\xff\xfb") if b"\xff\xfb" in content else content.index(b"\xff\xf3")
    following = content.index(content[start : start + 2], start + 4)
    return content[following:]


@pytest.mark.parametrize("bitrate_mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_file_without_a_header_is_read_to_its_end(tmp_path, bitrate_mode):
    loud_then_quiet = np.concatenate([np.random.default_rng(0).uniform(-1, 1, RATE_HZ), tone(9.0)])
    path = written(tmp_path, "a.mp3", loud_then_quiet, bitrate_mode=bitrate_mode)
    path.write_bytes(without_xing(path.read_bytes()))
    assert length_sec(path) == pytest.approx(10.0, abs=0.1)


def test_two_mp3_files_put_together_are_as_long_as_both(tmp_path):
    first, second = written(tmp_path, "a.mp3", tone(2.0)), written(tmp_path, "b.mp3", tone(3.0))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert length_sec(first) == pytest.approx(5.0, abs=0.2)


def test_an_mp3_file_may_begin_in_the_middle_of_a_frame(tmp_path):
    path = written(tmp_path, "a.mp3", tone(3.0))
    path.write_bytes(path.read_bytes()[1001:])
    assert sniff_kind(path) is SoundKind.MP3
    assert length_sec(path) == pytest.approx(3.0, abs=0.3)


def test_an_mp3_file_that_names_more_frames_than_it_has_is_refused(tmp_path):
    path = written(tmp_path, "a.mp3", tone(5.0), bitrate_mode="VARIABLE")
    content = path.read_bytes()
    assert b"Xing" in content or b"Info" in content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match="breaks off"):
        SoundReader(path)


def test_tags_before_and_behind_an_mp3_file_do_not_count(tmp_path):
    path = written(tmp_path, "a.mp3", tone(2.0))
    tag = b"ID3\x04\0\0\0\0\x08\0" + b"\xff\xfb\x90\0" * 256
    path.write_bytes(tag + path.read_bytes() + b"TAG" + b"\xff" * 125)
    assert length_sec(path) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_streams_are_read_one_after_the_other(tmp_path, subtype):
    parts = [
        written(tmp_path, f"{n}.ogg", tone(n, rate_hz=48_000), 48_000, subtype=subtype)
        for n in (1.0, 2.0)
    ]
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert length_sec(chain) == pytest.approx(3.0, abs=0.05)


def test_chained_streams_of_different_rates_are_refused_by_name(tmp_path):
    parts = [written(tmp_path, f"{hz}.ogg", tone(rate_hz=hz), hz) for hz in (22_050, 44_100)]
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(AudioError, match="22050 Hz and of 44100 Hz"):
        SoundReader(chain)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 2_000_000_000, 0])
@pytest.mark.parametrize("riff_size", [0xFFFFFFFF, 0])
def test_a_wav_size_that_was_left_open_is_no_truncation(tmp_path, size, riff_size):
    path = written(tmp_path, "a.wav", tone())
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", riff_size)
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert length_sec(path) == 1.0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"format": "RF64"}),
        ("a.aiff", {}),
        ("a.oga", {"format": "OGG", "subtype": "OPUS"}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_less_common_files_are_read(tmp_path, name, options):
    assert length_sec(written(tmp_path, name, tone(rate_hz=48_000), 48_000, **options)) == 1.0


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_samples_that_are_missing_at_the_end_are_counted(tmp_path, name):
    path = written(tmp_path, name, tone())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(AudioError, match="last 1000 bytes are missing"):
        read_audio(path, sample_rate_hz=RATE_HZ)


def test_a_sample_that_is_not_a_number_is_silence_everywhere(tmp_path):
    samples = np.stack([tone(), tone()], axis=1)
    samples[100, 0], samples[200] = np.nan, np.inf
    path = written(tmp_path, "a.wav", samples, subtype="FLOAT")
    wanted = np.where(np.isfinite(samples), samples, 0.0).mean(axis=1)
    audio = read_audio(path, sample_rate_hz=RATE_HZ)[:, 0].numpy()
    np.testing.assert_allclose(audio, wanted, atol=1e-6)
    cut_sound(path, tmp_path / "b.wav", start_sec=0, duration_sec=None, sample_rate_hz=RATE_HZ)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], audio)


def test_nothing_is_clipped_on_the_way_in(tmp_path):
    path = written(tmp_path, "a.wav", 8.0 * tone(), subtype="FLOAT")
    assert read_audio(path, sample_rate_hz=RATE_HZ).abs().max() == pytest.approx(4.0, abs=1e-3)
    cut_sound(path, tmp_path / "b.wav", start_sec=0, duration_sec=None, sample_rate_hz=16_000)
    prompt = read_audio(tmp_path / "b.wav", sample_rate_hz=16_000)
    assert prompt.abs().max() == pytest.approx(4.0, abs=0.05)


def test_what_resampling_takes_beyond_full_scale_stays(tmp_path):
    square = np.sign(tone(hz=333.0)) * 0.999
    path = written(tmp_path, "a.wav", square, subtype="FLOAT")
    assert read_audio(path, sample_rate_hz=16_000).abs().max() > 1.01


def test_sixteen_bits_come_back_as_they_were(tmp_path):
    pcm = np.random.default_rng(1).integers(-32_768, 32_768, RATE_HZ).astype(np.int16)
    path = written(tmp_path, "a.wav", pcm)
    write_audio(tmp_path / "b.wav", read_audio(path, sample_rate_hz=RATE_HZ), RATE_HZ)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], pcm)


def test_a_prompt_is_the_sound_that_the_library_reads(tmp_path):
    path = written(tmp_path, "a.flac", tone(2.0, rate_hz=44_100), 44_100, subtype="PCM_24")
    cut_sound(path, tmp_path / "b.wav", start_sec=0, duration_sec=None, sample_rate_hz=16_000)
    whole = read_audio(path, sample_rate_hz=16_000)
    prompt = read_audio(tmp_path / "b.wav", sample_rate_hz=16_000)
    torch.testing.assert_close(prompt, whole[: len(prompt)], rtol=0, atol=1e-6)


def av_file(folder, name, codec, container):
    av = pytest.importorskip("av")
    with av.open(str(folder / name), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            tone(2.0, rate_hz=48_000).astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(
            format=stream.format, rate=48_000, layout="mono", frame_size=stream.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return folder / name


@pytest.mark.parametrize(
    ("name", "codec", "container", "kind"),
    [
        ("a.m4a", "aac", "ipod", SoundKind.MP4),
        ("a.aac", "aac", "adts", SoundKind.AAC),
        ("a.webm", "libopus", "webm", SoundKind.WEBM),
    ],
)
def test_what_people_record_is_read_with_pyav(tmp_path, name, codec, container, kind):
    path = av_file(tmp_path, name, codec, container)
    assert sniff_kind(path) is kind
    assert length_sec(path) == pytest.approx(2.0, abs=0.1)
    samples = SoundReader(path).read()
    peak_hz = np.abs(np.fft.rfft(samples[:48_000])).argmax()
    assert peak_hz == pytest.approx(440, abs=2)


def test_without_pyav_the_sentence_says_what_to_install(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + b"\0" * 100)
    (tmp_path / "av.py").write_text("raise ImportError('not here')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jukebox_core.audio.reader import SoundReader\n"
        "SoundReader(sys.argv[1] + '/a.m4a')"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "pip install 'jukebox-service[formats]'" in child.stderr
