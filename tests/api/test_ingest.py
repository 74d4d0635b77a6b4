"""A child that fails is told apart from a file that is bad."""

import pytest

from api.media import FileRefused, Ingest, IngestFailed
from tests.api.sounds import encoded, tone


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "sent"
    path.write_bytes(encoded(tone()))
    return path


def test_a_sound_is_found_to_be_what_it_is(source):
    found = Ingest(timeout_sec=120).sound(source)
    assert (found["audio_format"], found["num_channels"]) == ("wav", 1)


def test_a_bad_file_is_refused_in_the_child_s_words(source):
    source.write_bytes(b"no sound at all")
    with pytest.raises(FileRefused, match="not sound in WAV"):
        Ingest(timeout_sec=120).sound(source)


def test_a_file_that_takes_too_long_is_refused(source, tmp_path, monkeypatch):
    child = tmp_path / "child"
    child.write_text("#!/bin/sh\nexec sleep 600\n")
    child.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(child))
    with pytest.raises(FileRefused, match="longer than"):
        Ingest(timeout_sec=0.1).sound(source)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("#!/bin/sh\nkill -SEGV $$\n", FileRefused),
        ("#!/bin/sh\necho Traceback >&2; exit 1\n", IngestFailed),
        ("#!/bin/sh\nexit 65\n", IngestFailed),
        ("#!/bin/sh\nexit 2\n", IngestFailed),
        ("#!/bin/sh\necho full >&2; exit 74\n", OSError),
    ],
    ids=["crash", "exception", "no sentence", "usage", "disk"],
)
def test_a_decoder_that_crashes_blames_the_file_and_anything_else_the_service(
    source, tmp_path, monkeypatch, program, error
):
    child = tmp_path / "child"
    child.write_text(program)
    child.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(child))
    with pytest.raises(error):
        Ingest(timeout_sec=120).sound(source)
