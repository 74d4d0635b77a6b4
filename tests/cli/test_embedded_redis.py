"""The server that comes with the demo: real, private, durable, and gone afterwards."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis

from cli.local.embedded_redis import (
    MAX_SOCKET_PATH_BYTES,
    EmbeddedRedis,
    EmbeddedRedisError,
    find_server,
)
from jobs.queue import celery_app
from jobs.settings import check_redis_url

pytestmark = pytest.mark.redis


def client(server):
    return redis.Redis.from_url(server.url, protocol=2, decode_responses=True)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_once_it_has_started_and_is_gone_afterwards(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
        with client(server) as connection:
            assert connection.ping()
    assert not is_running(pid)
    with pytest.raises(EmbeddedRedisError, match="not been started"):
        _ = server.pid


def test_every_write_is_on_disk_before_it_is_acknowledged(tmp_path):
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        settings = connection.config_get("append*") | connection.config_get("maxmemory-policy")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        connection.set("song", "kept")
        os.kill(server.pid, signal.SIGKILL)
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        assert connection.get("song") == "kept"


@pytest.mark.parametrize("name", ["songs#1", "songs?db=7", "a%20b", "two words", "b[1]@é:+&;"])
def test_a_folder_of_any_name_is_found_by_the_store_and_by_the_queue(name):
    # In a folder with a short name: the socket of one with a long path lies elsewhere.
    with TemporaryDirectory() as folder, EmbeddedRedis(Path(folder, name)) as server:
        socket = str(Path(folder, name, "redis", "redis.sock"))
        check_redis_url(server.url)
        with client(server) as connection:
            assert connection.ping()
            assert connection.connection_pool.connection_kwargs["path"] == socket
        with celery_app(server.url).connection() as queue:
            queue.connect()
            assert queue.default_channel.client.connection_pool.connection_kwargs["path"] == socket


def test_a_redis_url_that_would_be_cut_at_a_hash_is_refused():
    with pytest.raises(ValueError, match="%23"):
        check_redis_url("unix:///data/songs#1/redis.sock?db=0")


def test_nobody_else_can_reach_it(tmp_path):
    with EmbeddedRedis(tmp_path / "data") as server, client(server) as connection:
        assert connection.config_get("port") == {"port": "0"}
        path = Path(server.url.removeprefix("unix://").partition("?")[0])
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_socket(tmp_path):
    with EmbeddedRedis(tmp_path / ("x" * 120)) as server, client(server) as connection:
        path = Path(server.url.removeprefix("unix://").partition("?")[0])
        assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert connection.ping()
    assert not path.parent.exists()


def test_two_of_them_never_share_a_folder(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        second = EmbeddedRedis(tmp_path)
        with pytest.raises(EmbeddedRedisError, match="in use by another jukebox"):
            second.start()
        second.stop()
        with client(server) as connection:
            assert connection.ping()


def test_starting_twice_is_refused(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        with pytest.raises(EmbeddedRedisError, match="runs already"):
            server.start()
        assert is_running(server.pid)


def test_a_server_whose_owner_was_killed_is_replaced(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from cli.local.embedded_redis import EmbeddedRedis\n"
        "server = EmbeddedRedis(Path(sys.argv[1]))\n"
        "server.start()\n"
        "sys.stdout.write(f'{server.pid}\\n')\n"
        "sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        orphan_pid = int(owner.stdout.readline())
        owner.kill()
    assert is_running(orphan_pid)
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        assert server.pid != orphan_pid
        assert connection.ping()
        deadline = time.monotonic() + 60
        while is_running(orphan_pid) and not is_zombie(orphan_pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return False


def test_a_server_that_does_not_start_says_why(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "valkey-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(EmbeddedRedisError, match="status 3"):
        EmbeddedRedis(tmp_path / "data").start()


def test_a_server_on_the_path_comes_first(tmp_path, monkeypatch):
    for name in ("redis-server", "valkey-server"):
        program = tmp_path / name
        program.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server() == program


def test_without_any_server_it_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedRedisError, match="REDIS_URL"):
        find_server()


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "redis").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedRedisError, match="belongs to this user"):
        EmbeddedRedis(tmp_path / "data").start()
