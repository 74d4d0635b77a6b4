"""Files over HTTP, from a server that breaks, lies and changes its mind."""

import hashlib
import random
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from jukebox_core.errors import DownloadError
from jukebox_core.models.download import PATIENCE, RemoteFile, download

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "weights" / "file.bin"


@pytest.fixture
def server(file_server):
    file_server.files["/file.bin"] = CONTENT
    return file_server


@pytest.fixture
def remote(server):
    return RemoteFile(url=f"{server.url}/file.bin", num_bytes=len(CONTENT), sha256=SHA256)


def fetch(remote, place, **options):
    download(remote, place, pause=lambda _: None, **options)


def left_beside(place):
    return sorted(file.name for file in place.parent.iterdir())


def test_a_file_comes_whole_and_alone(remote, place):
    seen = []
    fetch(remote, place, progress=lambda *news: seen.append(news))
    assert place.read_bytes() == CONTENT
    assert left_beside(place) == ["file.bin"]
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT))


def test_a_broken_connection_is_taken_up_where_it_broke(server, remote, place):
    server.break_after["/file.bin"] = 1_000_000
    server.times["/file.bin"] = 2
    fetch(remote, place)
    assert place.read_bytes() == CONTENT
    assert server.asked("/file.bin") == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_connection_that_keeps_breaking_is_patiently_taken_up_while_it_brings_something(
    server, remote, place
):
    server.break_after["/file.bin"] = 100_000
    server.times["/file.bin"] = 25
    fetch(remote, place)
    assert place.read_bytes() == CONTENT


def test_what_came_before_giving_up_is_used_by_the_next_call(server, remote, place):
    server.break_after["/file.bin"] = 1_000_000
    server.failures["/file.bin"] = []
    server.times["/file.bin"] = 1
    pauses = []

    def fail_from_now_on(seconds):
        pauses.append(seconds)
        server.failures["/file.bin"] = [503] * PATIENCE

    with pytest.raises(DownloadError, match=r"1,000,000 bytes are kept.*503"):
        download(remote, place, pause=fail_from_now_on)
    assert not place.exists()
    assert pauses == sorted(pauses)
    server.failures["/file.bin"].clear()
    server.requests.clear()
    fetch(remote, place)
    assert server.asked("/file.bin") == ["bytes=1000000-"]
    assert place.read_bytes() == CONTENT


def test_two_versions_of_a_file_are_never_glued_together(server, remote, place):
    server.break_after["/file.bin"] = 1_000_000
    other = CONTENT[::-1]

    def change(_):
        server.files["/file.bin"] = other

    download(
        RemoteFile(url=remote.url, sha256=hashlib.sha256(other).hexdigest()), place, pause=change
    )
    assert place.read_bytes() == other


def test_a_server_without_ranges_sends_it_all_again(server, remote, place):
    server.ignores_ranges = True
    server.break_after["/file.bin"] = 1_000_000
    fetch(remote, place)
    assert place.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, remote, place):
    server.etags["/file.bin"] = '"same"'
    server.break_after["/file.bin"] = 2_000_000

    def shrink(_):
        server.files["/file.bin"] = CONTENT[:1_500_000]

    download(RemoteFile(url=remote.url), place, pause=shrink)
    assert place.read_bytes() == CONTENT[:1_500_000]


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (CONTENT[:-1], "2,999,999 bytes there, and the right file has 3,000,000"),
        (CONTENT[:-1] + b"!", "SHA-256"),
    ],
    ids=["truncated", "another"],
)
def test_a_wrong_file_is_refused_and_never_found_later(server, remote, place, served, message):
    server.files["/file.bin"] = served
    with pytest.raises(DownloadError, match=message):
        fetch(remote, place)
    assert left_beside(place) == []


def test_an_absent_file_is_refused_at_once(server, place):
    with pytest.raises(DownloadError, match=r"/nothing .*404"):
        fetch(RemoteFile(url=f"{server.url}/nothing"), place)
    assert len(server.requests) == 1
    assert left_beside(place) == []


def test_a_server_that_hiccups_is_asked_again(server, remote, place):
    server.failures["/file.bin"] = [503, 429, 500]
    fetch(remote, place)
    assert place.read_bytes() == CONTENT


def test_nobody_there_is_one_sentence(place):
    with pytest.raises(DownloadError, match="could not be fetched whole"):
        fetch(RemoteFile(url="http://127.0.0.1:9/file.bin"), place)


def test_a_disk_without_room_is_told_before_anything_is_written(remote, place, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(DownloadError, match=r"needs 3,000,000 more bytes.*room for 1"):
        fetch(remote, place)
    assert left_beside(place) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "weights/file"])
def test_only_http_is_spoken(url, place):
    with pytest.raises(DownloadError, match="no address"):
        fetch(RemoteFile(url=url), place)


@pytest.mark.parametrize("lengthless", [False, True])
def test_a_file_that_is_larger_than_it_may_be_is_not_taken(server, place, lengthless):
    if lengthless:
        server.lengthless.add("/file.bin")
    remote = RemoteFile(url=f"{server.url}/file.bin", max_bytes=1_000_000)
    with pytest.raises(DownloadError, match="more than 1,000,000 bytes"):
        fetch(remote, place)
    assert left_beside(place) == []


def test_a_file_without_a_length_ends_when_the_disk_is_nearly_full(server, place, monkeypatch):
    server.lengthless.add("/file.bin")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(DownloadError, match="has room for 1,000"):
        fetch(RemoteFile(url=f"{server.url}/file.bin"), place)


def test_a_redirect_is_followed_also_in_the_middle_of_a_file(server, remote, place):
    server.redirects["/old.bin"] = f"{server.url}/file.bin"
    server.break_after["/file.bin"] = 1_000_000
    fetch(replace(remote, url=f"{server.url}/old.bin"), place)
    assert place.read_bytes() == CONTENT
    assert server.asked("/file.bin") == [None, "bytes=1000000-"]


@pytest.mark.parametrize("location", ["/loop.bin", "file:///etc/passwd", "ftp://host/file"])
def test_a_redirect_that_leads_nowhere_is_refused_at_once(server, place, location):
    server.redirects["/loop.bin"] = location
    with pytest.raises(DownloadError, match="leads nowhere"):
        fetch(RemoteFile(url=f"{server.url}/loop.bin"), place)
    assert left_beside(place) == []


def test_a_server_that_falls_silent_is_asked_again(server, remote, place):
    server.stalled = {"/file.bin"}

    def wake(_):
        server.stalled = set()
        server.go_on.set()

    download(remote, place, pause=wake, timeout_sec=0.5)
    assert place.read_bytes() == CONTENT
    assert server.asked("/file.bin") == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize("url", ["http://host:port/file", "http://[::1/file", "http://"])
def test_an_address_that_is_none_is_one_sentence(url, place):
    with pytest.raises(DownloadError):
        fetch(RemoteFile(url=url), place)


def test_a_proxy_of_no_known_kind_is_one_sentence(remote, place, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(DownloadError, match="the proxy in the environment is of no use"):
        fetch(remote, place)
