"""Playing a song while it is generated: a player of this machine, fed with the service's stream."""

import importlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from cli.errors import UsageError
from cli.optional_packages import is_installed
from cli.terminal.console import notes
from jukebox_client import JukeboxClient, JukeboxClientError

HEADER_BYTES = 44
"""Of the WAV that the service streams; sizes in it are unknown."""
_PROGRAMS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet", "-i", "pipe:0"),
    ("aplay", "-q", "-"),
)
"""Players that read a WAV of unknown length from their standard input."""
_NO_PLAYER = (
    "--play found nothing that plays sound: install ffplay (it comes with ffmpeg) or aplay (ALSA), "
    "or `pip install sounddevice`"
)


class Player(Protocol):
    """Takes a WAV piece by piece."""

    def write(self, data: bytes) -> None:
        """Play this after what came before. Raises OSError when the player is gone."""
        ...

    def finish(self) -> None:
        """Return once everything is played."""
        ...

    def stop(self) -> None:
        """Be silent at once."""
        ...


def find_player() -> Callable[[], Player]:
    """What starts the first player that is there.

    Raises:
        UsageError: there is none.
    """
    for program, *options in _PROGRAMS:
        path = shutil.which(program)
        if path is not None:
            return lambda path=path, options=options: ProgramPlayer([path, *options])  # type: ignore[misc]
    if is_installed("sounddevice"):
        return DevicePlayer
    afplay = shutil.which("afplay")
    if afplay is None:
        raise UsageError(_NO_PLAYER)
    return lambda: FilePlayer(afplay)


class ProgramPlayer:
    """A program that plays what comes through its standard input."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for this command, which then stops the player.
            start_new_session=True,
        )

    def write(self, data: bytes) -> None:
        """See `Player`."""
        if self._process.stdin is not None:
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def finish(self) -> None:
        """See `Player`."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()

    def stop(self) -> None:
        """See `Player`."""
        self._process.kill()
        self.finish()


class DevicePlayer:
    """The package sounddevice, if somebody has installed it."""

    def __init__(self) -> None:
        self._device: Any = importlib.import_module("sounddevice")
        self._stream: Any = None
        self._header = b""

    def write(self, data: bytes) -> None:
        """See `Player`."""
        if self._stream is None:
            self._header += data
            if len(self._header) < HEADER_BYTES:
                return
            self._stream = self._device.RawOutputStream(
                samplerate=int.from_bytes(self._header[24:28], "little"),
                channels=int.from_bytes(self._header[22:24], "little"),
                dtype="int16",
            )
            self._stream.start()
            data = self._header[HEADER_BYTES:]
        self._stream.write(data)

    def finish(self) -> None:
        """See `Player`."""
        if self._stream is not None:
            self._stream.stop()
            self._stream.close()

    def stop(self) -> None:
        """See `Player`."""
        if self._stream is not None:
            self._stream.abort()


class FilePlayer:
    """A program that plays files only: it begins when the song is done."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._data = bytearray()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, data: bytes) -> None:
        """See `Player`."""
        self._data += data

    def finish(self) -> None:
        """See `Player`."""
        num_bytes = len(self._data)
        self._data[4:8] = (num_bytes - 8).to_bytes(4, "little")
        self._data[40:44] = (num_bytes - HEADER_BYTES).to_bytes(4, "little")
        with tempfile.TemporaryDirectory(prefix="jukebox-play-") as folder:
            path = Path(folder) / "song.wav"
            path.write_bytes(self._data)
            self._process = subprocess.Popen([self._program, str(path)], start_new_session=True)
            self._process.wait()

    def stop(self) -> None:
        """See `Player`."""
        if self._process is not None:
            self._process.kill()


@contextmanager
def playing(url: str, job_id: str, start: Callable[[], Player]) -> Iterator[None]:
    """Play the first take of a job while the block runs, and then to its end.

    When the block raises, and on Ctrl-C, there is silence at once.
    """
    player = start()
    thread = threading.Thread(target=_feed, args=(url, job_id, player), daemon=True)
    thread.start()
    try:
        yield
        if thread.is_alive():
            notes().print("Playing the rest; Ctrl-C stops.")
        while thread.is_alive():
            # A wait without an end would not hear Ctrl-C everywhere.
            thread.join(0.2)
    except BaseException:
        player.stop()
        raise


def _feed(url: str, job_id: str, player: Player) -> None:
    try:
        with JukeboxClient(url) as client:
            for data in client.stream_audio(job_id, format="wav"):
                player.write(data)
    except JukeboxClientError as error:
        notes().print(f"Playing ended: {error}", markup=False)
    except (OSError, ValueError):
        return  # the player is gone: closed by the user, or stopped
    player.finish()
