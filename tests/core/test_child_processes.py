"""Commands and environments of child processes."""

import os

from jukebox_core.child_processes import child_environment, spawning_environment


def test_a_search_path_of_a_child_names_absolute_folders_only(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin::.:bin:/bin")
    monkeypatch.setenv("PYTHONPATH", ":.")
    environment = child_environment()
    assert environment["PATH"] == "/usr/bin:/bin"
    assert "PYTHONPATH" not in environment


def test_a_child_inherits_what_is_named_and_nothing_else(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://:password@there")
    monkeypatch.setenv("JUKEBOX_DEVICE", "cpu")
    environment = child_environment("JUKEBOX_DEVICE", "NOT_SET", OTHER="1")
    assert "REDIS_URL" not in environment
    assert "NOT_SET" not in environment
    assert (environment["JUKEBOX_DEVICE"], environment["OTHER"]) == ("cpu", "1")
    assert environment["PYTHONSAFEPATH"] == "1"


def test_the_environment_for_spawned_processes_ends_with_its_block(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://there")
    before = dict(os.environ)
    with spawning_environment():
        assert "REDIS_URL" not in os.environ
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert dict(os.environ) == before
