"""Folders that take the place of others: killed at any moment, the old or the new one is there."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jukebox_core import atomic_folders
from jukebox_core.atomic_folders import new_directory

KILLED = """
import os, signal, sys
from pathlib import Path
from jukebox_core import atomic_folders

_, place, exchanges, moment, number = sys.argv
calls = 0

def dying(real):
    def call(*arguments):
        global calls
        calls += 1
        if (moment, calls) == ("before", int(number)):
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments)
        if (moment, calls) == ("after", int(number)):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

in_one_step = atomic_folders._exchange
atomic_folders._exchange = dying(in_one_step if exchanges == "yes" else lambda *_: False)
atomic_folders.os.rename = dying(os.rename)
atomic_folders.shutil.rmtree = dying(atomic_folders.shutil.rmtree)
with atomic_folders.new_directory(Path(place)) as unfinished:
    for name in ("one", "two"):
        (unfinished / name).write_text("new")
    if moment == "inside":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path):
    """A folder called `model` that holds two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).write_text("old")
    return folder


def contents(folder):
    return {(folder / name).read_text() for name in ("one", "two") if (folder / name).is_file()}


def is_whole(folder):
    return folder.is_dir() and len(list(folder.iterdir())) == 2 and len(contents(folder)) == 1


@pytest.mark.parametrize(
    ("exchanges", "moment", "number"),
    [
        ("yes", "inside", 0),
        *(("yes", moment, number) for moment in ("before", "after") for number in (2, 3)),
        *(("no", moment, number) for moment in ("before", "after") for number in (3, 4)),
    ],
)
def test_whoever_is_killed_leaves_a_whole_folder(place, exchanges, moment, number):
    command = [sys.executable, "-c", KILLED, str(place), exchanges, moment, str(number)]
    subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.getcwd()})
    seen = [path for path in place.parent.iterdir() if not path.name.startswith(".")]
    assert any(is_whole(path) for path in seen), list(place.parent.rglob("*"))
    if exchanges == "yes":
        assert is_whole(place)
    if moment == "inside":
        assert contents(place) == {"old"}
        assert len(list(place.parent.glob(".model.unfinished-*"))) == 1
    # The next one clears up what is hidden.
    with new_directory(place) as unfinished:
        for name in ("one", "two"):
            (unfinished / name).write_text("newer")
    assert contents(place) == {"newer"}
    assert [path for path in place.parent.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(place, monkeypatch):
    real, calls = os.rename, []

    def rename(source, target):
        calls.append(source)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(atomic_folders, "_exchange", lambda *_: False)
    monkeypatch.setattr(atomic_folders.os, "rename", rename)
    with pytest.raises(OSError, match="Input/output"), new_directory(place) as unfinished:
        (unfinished / "one").write_text("new")
    assert contents(place) == {"old"}
    assert [path.name for path in place.parent.iterdir()] == ["model"]


def test_where_somebody_works_is_left_alone(place):
    with new_directory(place) as first, new_directory(place) as second:
        assert first.is_dir()
        (second / "one").write_text("second")
        (first / "one").write_text("first")
    assert (place / "one").read_text() == "first"
    strange = place.parent / ".model.pulling"
    strange.mkdir()
    with new_directory(place):
        pass
    assert strange.is_dir()


def test_a_link_is_replaced_and_what_it_names_stays(place):
    link = place.parent / "link"
    link.symlink_to(place)
    with new_directory(link) as unfinished:
        (unfinished / "one").write_text("new")
    assert (link / "one").read_text() == "new"
    assert not link.is_symlink()
    assert contents(place) == {"old"}


def test_file_systems_without_locks_do_as_well(place, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with new_directory(place) as unfinished:
        (unfinished / "one").write_text("new")
    assert contents(place) == {"new"}
    assert isinstance(place, Path)
