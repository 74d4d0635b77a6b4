"""Signs of life for people, and for whoever may restart the process."""

import os
import re
import subprocess
import sys
import threading
import time

import pytest

from jobs.record.job import Stage
from worker import health
from worker.health import Presence, describe_worker, examine


def test_health_goes_by_the_age_of_the_file(tmp_path, monkeypatch, capsys):
    file = tmp_path / "alive"
    monkeypatch.setenv("JUKEBOX_HEALTH_FILE", str(file))
    assert health.main() == 1
    assert capsys.readouterr().out.startswith(f"{file} is not there: ")
    file.touch()
    assert health.main() == 0
    assert capsys.readouterr().out.startswith("last sign of life ")
    os.utime(file, (time.time() - 60, time.time() - 60))
    assert health.main() == 1
    told = capsys.readouterr().out
    assert re.match(r"no sign of life for \d+ s, where 30 are allowed", told)


def test_a_check_that_runs_every_few_seconds_imports_little(tmp_path):
    heavy = {"redis", "torch", "pydantic", "jobs.settings"}
    script = f"import sys, worker.health as h; h.main(); print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "JUKEBOX_HEALTH_FILE": str(tmp_path / "alive")}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.splitlines()[1:] == ["[]"]


@pytest.mark.redis
def test_a_worker_is_seen_until_its_engine_dies(service, tmp_path):
    alive = threading.Event()
    alive.set()
    file = tmp_path / "alive"
    presence = Presence(
        service.store,
        lambda: describe_worker("me", "cpu", service.catalog.names, (Stage.TOP,)),
        health_file=file,
        is_engine_alive=alive.is_set,
    )
    presence.start()
    while not examine(file)[0]:
        time.sleep(0.01)
    assert service.store.workers() == []
    presence.set_ready()
    deadline = time.monotonic() + 60
    while not service.store.workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    (seen,) = service.store.workers()
    assert (seen.name, seen.device, seen.models, seen.stages) == (
        "me",
        "cpu",
        ("tiny",),
        (Stage.TOP,),
    )
    assert examine(file)[0]
    alive.clear()
    presence.join(60)
    assert not presence.is_alive()
    assert not examine(file)[0]
