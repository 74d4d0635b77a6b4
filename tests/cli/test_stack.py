import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cli.errors import StackError, UsageError
from cli.local.processes import ChildProcess
from cli.local.signals import Interrupted, StopSignals
from cli.local.stack import MAX_RESTARTS, Stack, StackSettings, free_port, require_free_port
from cli.local.watchdog import read_watched
from jobs.record.job import Stage
from jobs.store import JobStore
from jobs.store.types import worker_name
from jukebox_core.buckets import BucketUrl
from tests.jobs.records import created

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
# A leader that ignores SIGTERM and has a child of its own.
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n",
]


def start(command, tmp_path):
    child = ChildProcess("child", command, env=os.environ, log_path=tmp_path / "child.log")
    wait_until(lambda: child.last_lines() or child.exit_status() is not None)
    return child


def wait_until(is_true, timeout_sec=60.0):
    deadline = time.monotonic() + timeout_sec
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_alive(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_child_that_listens_ends_when_asked(tmp_path):
    child = start(SLEEPER, tmp_path)
    assert child.last_lines() == "up"
    child.ask_to_stop()
    child.wait_or_kill(time.monotonic() + 60.0)
    assert child.exit_status() == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed_with_its_own_children(tmp_path):
    child = start(STUBBORN, tmp_path)
    grandchild = int(child.last_lines())
    child.ask_to_stop()
    child.wait_or_kill(time.monotonic() + 0.3)
    assert child.exit_status() == -signal.SIGKILL
    wait_until(lambda: not is_alive(grandchild))


def test_a_signal_becomes_an_exception_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught, StopSignals().listening():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_status == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_until_a_step_that_must_not_be_torn_is_done():
    done = []

    def step(signals):
        with signals.deferred():
            with signals.deferred():
                signal.raise_signal(signal.SIGINT)
            done.append("to the end")

    with StopSignals().listening() as signals, pytest.raises(Interrupted):
        step(signals)
    assert done == ["to the end"]


def test_the_watchdog_watches_what_it_was_told_and_not_told_to_forget():
    assert read_watched(["watch 1\n", "watch 2\n", "nonsense\n", "forget 1\n"]) == [2]


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    """The watchdog sees the end of its input, whatever the cause."""
    script = (
        "import os, signal, subprocess, sys\n"
        "from cli.local.stack import _start_watchdog\n"
        "dog = _start_watchdog()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],\n"
        "    start_new_session=True)\n"
        "dog.stdin.write(f'watch {child.pid}\\n'); dog.stdin.flush()\n"
        "print(child.pid, dog.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert done.returncode == -signal.SIGKILL
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_port_in_use_is_told_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="--port"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", free_port())


def test_children_of_an_isolated_stack_see_no_settings_but_the_device(monkeypatch, tmp_path):
    monkeypatch.setenv("JUKEBOX_STAGES", "render")
    monkeypatch.setenv("JUKEBOX_DEVICE", "cpu")
    place = {"data_dir": tmp_path, "models_dir": tmp_path / "m"}
    isolated = StackSettings(**place, isolated=True).environment("worker", "unix:///r.sock")
    assert "JUKEBOX_STAGES" not in isolated
    assert isolated["JUKEBOX_DEVICE"] == "cpu"
    assert isolated["REDIS_URL"] == "unix:///r.sock"
    assert StackSettings(**place).environment("worker", "x")["JUKEBOX_STAGES"] == "render"


def test_models_in_a_bucket_are_those_of_the_children_with_its_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    folder = StackSettings(data_dir=tmp_path, models_dir=tmp_path / "m")
    bucket = StackSettings(data_dir=tmp_path, models_dir=BucketUrl("s3://music/models"))
    for module in ("api", "worker"):
        assert "AWS_SECRET_ACCESS_KEY" not in folder.environment(module, "unix:///r.sock")
        environment = bucket.environment(module, "unix:///r.sock")
        assert environment["JUKEBOX_MODELS_DIR"] == "s3://music/models"
        assert environment["AWS_SECRET_ACCESS_KEY"] == "secret"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("music.local", "http://music.local:8000"),
    ],
)
def test_the_url_is_one_that_a_client_on_this_machine_can_use(host, url, tmp_path):
    settings = StackSettings(data_dir=tmp_path, models_dir=tmp_path, host=host)
    assert settings.url == url


def test_a_stack_whose_process_dies_shows_the_end_of_its_log(tmp_path):
    settings = StackSettings(data_dir=tmp_path, models_dir=tmp_path, redis_url="http://wrong")
    stack = Stack(settings, StopSignals())
    script = "print('no such card'); raise SystemExit(3)"
    stack._children.append(start([sys.executable, "-c", script], tmp_path))
    wait_until(lambda: stack._children[0].exit_status() is not None)
    with pytest.raises(StackError, match=r"status 3(.|\n)*no such card"):
        stack.check()
    stack.stop()


def test_a_process_that_dies_is_started_again_until_it_dies_too_often(tmp_path):
    settings = StackSettings(data_dir=tmp_path, models_dir=tmp_path, redis_url="http://wrong")
    stack = Stack(settings, StopSignals())
    script = "import os; print('no such card', flush=True); os.kill(os.getpid(), 9)"
    stack._children.append(start([sys.executable, "-c", script], tmp_path))
    told = []
    for _ in range(MAX_RESTARTS):
        wait_until(lambda: stack._children[0].exit_status() is not None)
        stack.revive(told.append)
    wait_until(lambda: stack._children[0].exit_status() is not None)
    with pytest.raises(StackError, match=r"ended 6 times within 120 s(.|\n)*no such card"):
        stack.revive(told.append)
    assert len(told) == MAX_RESTARTS
    assert "was killed by SIGKILL (short of memory?): started again" in told[0]
    stack.stop()


@pytest.mark.redis
def test_a_server_that_refuses_is_told_before_anything_starts(tmp_path, redis_url):
    wrong = redis_url.replace("unix://", "unix://:wrong@")
    settings = StackSettings(
        data_dir=tmp_path, models_dir=tmp_path, redis_url=wrong, port=free_port()
    )
    stack = Stack(settings, StopSignals())
    with pytest.raises(StackError, match=r"the server of REDIS_URL refuses this: .+"):
        stack.start()
    assert stack._children == []
    stack.stop()


@pytest.mark.redis
def test_what_a_killed_worker_held_goes_on_in_the_next_one_at_once(tmp_path, clean_redis_url):
    settings = StackSettings(data_dir=tmp_path, models_dir=tmp_path, redis_url=clean_redis_url)
    stack = Stack(settings, StopSignals())
    environment = settings.environment("worker", clean_redis_url)
    script = [sys.executable, "-c", "import time; time.sleep(600)"]
    worker = ChildProcess("worker", script, env=environment, log_path=tmp_path / "log")
    stack._children.append(worker)
    with closing(JobStore(clean_redis_url)) as store:
        job, told = created(store), []
        first = worker_name(worker.pid)
        assert store.claim(job.id, Stage.TOP, worker=first, lease_sec=3600) is not None
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: worker.exit_status() is not None)
        stack.revive(told.append)
        assert "was killed by SIGKILL" in told[0]
        claim = store.claim(job.id, Stage.TOP, worker="second", lease_sec=3600)
        assert claim is not None
        assert claim.job.attempt == 2
    stack.stop()


def test_children_are_told_whether_webhooks_are_sent_whatever_the_environment_says(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("JUKEBOX_WEBHOOKS", "on")
    place = {"data_dir": tmp_path, "models_dir": tmp_path / "m"}
    for isolated in (True, False):
        off = StackSettings(**place, isolated=isolated).environment("api", "unix:///r.sock")
        on = StackSettings(**place, isolated=isolated, webhooks=True).environment(
            "api", "unix:///r.sock"
        )
        assert (off["JUKEBOX_WEBHOOKS"], on["JUKEBOX_WEBHOOKS"]) == ("off", "on")
