"""Children that take in what strangers send (`jukebox_core/audio/intake.py`), two at a time."""

import errno
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

from api.web.fair_slots import FairSlots
from jukebox_core.audio.files import DISK_REFUSED_STATUS
from jukebox_core.child_processes import decoder_environment, python_command

_log = logging.getLogger(__name__)

_REFUSED_STATUS = 65
_MAX_CHILDREN = 2
_MAX_SENTENCE_CHARACTERS = 500


class FileRefused(Exception):
    """The file cannot be used; the message is a sentence for whoever sent it."""


class IngestFailed(Exception):
    """The service could not do its part."""


class Ingest:
    """Runs the child. Whoever calls it does so in one of `slots`."""

    def __init__(self, *, timeout_sec: float) -> None:
        self._timeout_sec = timeout_sec
        self.slots = FairSlots(_MAX_CHILDREN)

    def sound(self, source: Path) -> dict[str, Any]:
        """Decode a sound file to its end; returns what was found. Blocking.

        Raises FileRefused, IngestFailed, and OSError when the disk is full.
        """
        return self._run("sound", str(source))

    def codes(self, source: Path, destination: Path) -> dict[str, Any]:
        """Write the codes of a file as int32; returns what was found. Blocking.

        Raises FileRefused, IngestFailed, and OSError when the disk is full.
        """
        return self._run("codes", str(source), str(destination))

    def cut(
        self,
        source: Path,
        destination: Path,
        *,
        start_sec: float,
        duration_sec: float | None,
        sample_rate_hz: int,
    ) -> int:
        """Write a part of a sound as mono WAV at another rate; returns its samples. Blocking.

        Raises FileRefused, IngestFailed, and OSError when the disk is full.
        """
        options = ["--start-sec", repr(start_sec), "--sample-rate-hz", str(sample_rate_hz)]
        if duration_sec is not None:
            options += ["--duration-sec", repr(duration_sec)]
        found = self._run("cut", str(source), str(destination), *options)
        return int(found["num_samples"])

    def _run(self, *arguments: str) -> dict[str, Any]:
        command = python_command("jukebox_core.audio.intake", *arguments)
        try:
            child = subprocess.run(
                [*command, "--cpu-sec", str(max(round(self._timeout_sec), 1))],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_sec,
                check=False,
                env=decoder_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise FileRefused(f"the file takes longer than {self._timeout_sec:g} s") from error
        said = child.stderr.decode(errors="replace").strip()
        if child.returncode == _REFUSED_STATUS and said:
            raise FileRefused(said[:_MAX_SENTENCE_CHARACTERS])
        if child.returncode == DISK_REFUSED_STATUS:
            raise OSError(errno.ENOSPC, said[-_MAX_SENTENCE_CHARACTERS:])
        if child.returncode < 0:
            _log.warning("taking in a file ended by signal %d: %s", -child.returncode, said[-500:])
            raise FileRefused("the decoder gave up on this file")
        if child.returncode != 0:
            _log.error("taking in a file failed (%d): %s", child.returncode, said[-1000:])
            raise IngestFailed("the file could not be looked at")
        found: dict[str, Any] = json.loads(child.stdout)
        return found
