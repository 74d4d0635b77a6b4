"""Tags of sound files: what was written is read by others, and the sound stays as it was."""

import base64
import subprocess
import sys

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC, Picture
from mutagen.id3 import ID3
from mutagen.mp3 import MP3
from mutagen.oggvorbis import OggVorbis

from jukebox_core.audio.spectrogram import picture
from jukebox_core.audio.tags import FORMATS, SongTags
from jukebox_core.audio.transcode import transcode

COVER = picture(np.arange(64, dtype=np.uint8).reshape(8, 8), width=32, height=32)
TAGS = SongTags(
    title="Rain / Дождь",
    artist="orlavane",
    album="Jukebox",
    genre="tidedub",
    date="2026-11-30",
    comment="Made with Jukebox.",
    lyrics="Hello, hello,\nis anybody there?",
    synced_lyrics=((1500, "Hello, hello,"), (4000, "is anybody there?")),
    lrc="[00:01.50]Hello, hello,\n[00:04.00]is anybody there?\n",
    extra={"SEED": "7", "MODEL": "mini"},
    cover_png=base64.b64encode(COVER).decode(),
)


@pytest.fixture
def sound(tmp_path):
    """A sound in a format, with a comment of its own."""
    noise = np.random.default_rng(0).integers(-9000, 9000, 48_000, dtype=np.int16)
    with soundfile.SoundFile(tmp_path / "song.wav", "w", 16_000, 1, "PCM_16") as file:
        file.comment = "an old comment"
        file.write(noise)

    def encoded(suffix):
        transcode(tmp_path / "song.wav", tmp_path / f"song.{suffix}")
        return tmp_path / f"song.{suffix}"

    return encoded


def tag(source, tags=TAGS):
    target = source.with_stem("tagged")
    command = [sys.executable, "-m", "jukebox_core.audio.tags", str(source), str(target)]
    child = subprocess.run(
        command, input=tags.to_json(), capture_output=True, text=True, check=False, timeout=300
    )
    return child, target


def tagged(source, tags=TAGS):
    child, target = tag(source, tags)
    assert child.returncode == 0, child.stderr
    return target


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_sound_stays_as_it_was(sound, suffix):
    source = sound(suffix)
    before, _ = soundfile.read(source, dtype="int16")
    after, _ = soundfile.read(tagged(source), dtype="int16")
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_program_reads_the_common_tags(sound, suffix):
    path = tagged(sound(suffix))
    with soundfile.SoundFile(path) as file:
        assert file.title == TAGS.title
        assert file.artist == TAGS.artist
        assert file.comment == TAGS.comment
    easy = mutagen.File(path, easy=True)
    found = {name: easy[name] for name in ("title", "artist", "album", "genre", "date")}
    assert found == {
        "title": [TAGS.title],
        "artist": ["orlavane"],
        "album": ["Jukebox"],
        "genre": ["tidedub"],
        "date": ["2026-11-30"],
    }


def test_an_mp3_has_lyrics_with_times_a_cover_and_the_seed(sound):
    id3 = ID3(tagged(sound("mp3")))
    assert id3.version == (2, 3, 0)
    assert id3.getall("USLT")[0].text == TAGS.lyrics
    assert id3.getall("SYLT")[0].text == [("Hello, hello,", 1500), ("is anybody there?", 4000)]
    assert [(comment.desc, comment.text) for comment in id3.getall("COMM")] == [
        ("", [TAGS.comment])
    ]
    assert {frame.desc: frame.text for frame in id3.getall("TXXX")} == {
        "SEED": ["7"],
        "MODEL": ["mini"],
    }
    (cover,) = id3.getall("APIC")
    assert (cover.mime, cover.type, cover.data) == ("image/png", 3, COVER)


@pytest.mark.parametrize(("suffix", "reader"), [("flac", FLAC), ("ogg", OggVorbis)])
def test_flac_and_ogg_have_the_same_in_comments(sound, suffix, reader):
    file = reader(tagged(sound(suffix)))
    assert file["lyrics"] == [TAGS.lyrics]
    assert file["syncedlyrics"] == [TAGS.lrc]
    assert file["seed"] == ["7"]
    assert file["model"] == ["mini"]
    assert file["comment"] == [TAGS.comment]
    if suffix == "flac":
        (cover,) = file.pictures
    else:
        cover = Picture(base64.b64decode(file["metadata_block_picture"][0]))
    assert (cover.type, cover.mime, cover.width, cover.height) == (3, "image/png", 32, 32)
    assert cover.data == COVER


@pytest.mark.parametrize("suffix", FORMATS)
def test_tags_are_replaced_and_empty_ones_left_out(sound, suffix):
    first = tagged(sound(suffix))
    again = tagged(first.rename(first.with_stem("first")), SongTags(title="Sun"))
    file = mutagen.File(again)
    text = str(file.tags.pprint())
    assert "Sun" in text
    assert not any(old in text for old in ("Rain", "orlavane", "Hello", "Made with", "comment"))
    assert not getattr(file, "pictures", [])


def test_the_same_tags_make_the_same_bytes(sound):
    for suffix in FORMATS:
        source = sound(suffix)
        first = tagged(source).read_bytes()
        assert tagged(source).read_bytes() == first


def test_an_mp3_keeps_its_length(sound):
    source = sound("mp3")
    assert MP3(tagged(source)).info.length == pytest.approx(MP3(source).info.length, abs=0.01)


@pytest.mark.parametrize(("suffix", "content"), [("mp3", b""), ("flac", b"x"), ("ogg", b"OggS")])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, suffix, content):
    source = tmp_path / f"song.{suffix}"
    source.write_bytes(content)
    child, target = tag(source)
    if suffix == "mp3":  # tags can stand before anything
        assert child.returncode == 0
        return
    assert child.returncode == 1
    assert len(child.stderr.splitlines()) == 1
    assert "cannot be tagged" in child.stderr
    assert not target.exists()


def test_wav_stays_as_it_was_made(tmp_path):
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    child, target = tag(tmp_path / "song.wav")
    assert child.returncode == 1
    assert "none of mp3, flac, ogg" in child.stderr
    assert not target.exists()
