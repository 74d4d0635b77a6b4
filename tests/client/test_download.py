import errno
import hashlib
import os
from pathlib import Path

import pytest

from jukebox_client import DownloadFailed, OutputNotFound, audio_outputs
from tests.fixtures.scripted_service import Answer, a_job, output, problem

SOUND = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(SOUND).hexdigest()
PATH = "/jobs/job_1/audio"


def serve_file(service, sound=SOUND, *, etag='"v1"', breaks_after=()):
    """Serve `sound` with ranges; each number of `breaks_after` cuts one answer short."""
    cuts = list(breaks_after)

    def answer(headers):
        start, status, named = 0, 200, {"etag": etag}
        if headers.get("if-range", etag) == etag and "range" in headers:
            start, status = int(headers["range"].removeprefix("bytes=").rstrip("-")), 206
            if start >= len(sound):
                return problem(416, "range_not_satisfiable", "no such bytes")
            named["content-range"] = f"bytes {start}-{len(sound) - 1}/{len(sound)}"
        rest = sound[start:]
        if cuts:
            return Answer(rest[: cuts.pop(0)], status, named, declared_bytes=len(rest))
        return Answer(rest, status, named)

    service.on("GET", PATH, answer)


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(service, client, tmp_path):
    serve_file(service)
    path = client.download(PATH, {}, tmp_path / "new" / "a.wav", sha256=SHA256)
    assert path.read_bytes() == SOUND
    assert [file.name for file in path.parent.iterdir()] == ["a.wav"]


def test_a_download_goes_on_where_the_connection_broke(service, client, tmp_path):
    serve_file(service, breaks_after=[100_000, 50_000])
    path = client.download(PATH, {}, tmp_path / "a.wav", sha256=SHA256)
    assert path.read_bytes() == SOUND
    ranges = [headers.get("range") for headers in service.asked("GET", PATH)]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_another_try_goes_on_where_the_last_one_gave_up(service, client, tmp_path):
    serve_file(service, breaks_after=[10_000] * 5)
    with pytest.raises(DownloadFailed, match="50000 of 256000 bytes are kept"):
        client.download(PATH, {}, tmp_path / "a.wav", sha256=SHA256)
    assert not (tmp_path / "a.wav").exists()
    path = client.download(PATH, {}, tmp_path / "a.wav", sha256=SHA256)
    assert path.read_bytes() == SOUND
    assert service.asked("GET", PATH)[-1]["range"] == "bytes=50000-"


def test_what_was_kept_of_an_older_file_is_not_mixed_with_a_newer_one(service, client, tmp_path):
    serve_file(service, b"x" * 1000, breaks_after=[10] * 5)
    with pytest.raises(DownloadFailed):
        client.download(PATH, {}, tmp_path / "a.wav")
    serve_file(service, etag='"v2"')
    assert client.download(PATH, {}, tmp_path / "a.wav").read_bytes() == SOUND


def test_a_file_longer_than_the_one_that_is_there_now_is_fetched_anew(service, client, tmp_path):
    serve_file(service, breaks_after=[10_000] * 5)
    with pytest.raises(DownloadFailed):
        client.download(PATH, {}, tmp_path / "a.wav")
    serve_file(service, SOUND[:1000])
    assert client.download(PATH, {}, tmp_path / "a.wav").read_bytes() == SOUND[:1000]


def test_a_file_needs_no_head_and_no_content_length(service, client, tmp_path):
    """Proxies drop either; the end of the chunks is then the end of the file."""
    chunks = f"{len(SOUND):x}\r\n".encode() + SOUND + b"\r\n0\r\n\r\n"
    chunked = {"etag": '"v1"', "transfer-encoding": "chunked"}
    service.on("GET", PATH, Answer(chunks, 200, chunked))
    assert client.download(PATH, {}, tmp_path / "a.wav", sha256=SHA256).read_bytes() == SOUND
    assert not service.asked("HEAD", PATH)


def test_a_full_disk_keeps_what_has_arrived_and_says_so(service, client, tmp_path, monkeypatch):
    serve_file(service)
    opened = Path.open

    def full(path, mode="r", *rest, **named):
        if "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opened(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DownloadFailed, match="No space left on device"):
        client.download(PATH, {}, tmp_path / "a.wav")


def test_bytes_with_another_hash_are_refused_and_thrown_away(service, client, tmp_path):
    serve_file(service)
    with pytest.raises(DownloadFailed, match="corrupted"):
        client.download(PATH, {}, tmp_path / "a.wav", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_the_entity_tag_of_codes_is_their_hash(service, client, tmp_path):
    whole = {"etag": f'"{SHA256}"'}
    service.on("GET", "/jobs/job_1/codes", Answer(SOUND, 200, whole))
    assert client.download_codes("job_1", tmp_path / "a").read_bytes() == SOUND
    service.on("GET", "/jobs/job_1/codes", Answer(SOUND[:-1] + b"x", 200, whole))
    with pytest.raises(DownloadFailed, match="corrupted"):
        client.download_codes("job_1", tmp_path / "b")
    service.on("GET", "/jobs/job_1/codes", Answer(SOUND, 200, {"etag": 'W/"of a proxy"'}))
    assert client.download_codes("job_1", tmp_path / "b").read_bytes() == SOUND


def test_the_finest_finished_level_is_chosen_and_takes_are_in_order():
    outputs = [
        output(b"", level="top"),
        output(b"", level="middle", sample=1),
        output(b"", level="middle", sample=0),
    ]
    chosen = audio_outputs(a_job(outputs=outputs))
    assert [(each.level, each.sample) for each in chosen] == [("middle", 0), ("middle", 1)]
    assert len(audio_outputs(a_job(outputs=outputs), level="top")) == 1


def test_a_job_without_sound_yet_is_told_so():
    with pytest.raises(OutputNotFound, match="has no sound yet"):
        audio_outputs(a_job())
    with pytest.raises(OutputNotFound, match="no sound at level bottom"):
        audio_outputs(a_job(), level="bottom")
