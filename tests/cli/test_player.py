"""Which player is taken, and what it is told."""

import os
import stat
import sys
from pathlib import Path

import pytest

from cli import player
from cli.errors import UsageError
from cli.player import FilePlayer, ProgramPlayer, find_player


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder of programs, and no package that plays sound."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(player, "is_installed", lambda _: False)
    return tmp_path


COPY = "import sys; open(sys.argv[0] + '.heard', 'wb').write(sys.stdin.buffer.read())"


@pytest.mark.parametrize("name", ["ffplay", "aplay"])
def test_a_program_that_reads_its_input_is_played_by(only: Path, name: str):
    path = program(only, name, COPY)
    playing = find_player()()
    playing.write(b"RIFF")
    playing.write(b"more")
    playing.finish()
    assert Path(f"{path}.heard").read_bytes() == b"RIFFmore"


def test_a_player_that_reads_files_only_gets_a_whole_file(only: Path):
    path = program(only, "afplay", COPY.replace("sys.stdin.buffer", "open(sys.argv[1], 'rb')"))
    playing = find_player()()
    assert isinstance(playing, FilePlayer)
    header = b"RIFF" + b"\xff" * 4 + b"-" * 32 + b"\xff" * 4
    playing.write(header)
    playing.write(b"12345678")
    playing.finish()
    heard = Path(f"{path}.heard").read_bytes()
    assert len(heard) == 52
    assert int.from_bytes(heard[4:8], "little") == 44
    assert int.from_bytes(heard[40:44], "little") == 8


def test_without_a_player_it_is_said_what_to_install(only: Path):
    with pytest.raises(UsageError, match=r"ffplay.*aplay.*sounddevice"):
        find_player()


def test_a_player_that_is_stopped_is_gone_at_once(only: Path):
    path = program(only, "ffplay", "import time; time.sleep(600)")
    playing = ProgramPlayer([str(path)])
    playing.write(b"RIFF")
    playing.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(playing._process.pid, 0)
