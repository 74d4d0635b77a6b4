"""The directory of a training run: state to resume from, log, samples."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from jukebox_core.atomic_files import whole_file
from jukebox_core.checkpoints.tensor_writing import save_pickle
from jukebox_core.errors import TrainingError

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
PLAN_FILE = "plan.json"


class RunFiles:
    """What one run leaves behind in its directory, which is made if it is not there.

    `state.pt`   everything a resumed run needs, replaced as a whole
    `log.jsonl`  one JSON object per logged step
    `plan.json`  the number of steps, where it was chosen by the time they take
    `samples/`   one folder per step that was listened to
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._state = directory / STATE_FILE
        self._log = directory / LOG_FILE

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state: after a crash at any moment there is the old one or the new one."""
        with whole_file(self._state) as unfinished, unfinished.open("wb") as file:
            save_pickle(state, file)
            file.flush()
            os.fsync(file.fileno())

    def load_state(self) -> dict[str, Any] | None:
        """The last state, on the CPU, or None if there is none. Runs no code from the file.

        Raises:
            TrainingError: the file cannot be read.
        """
        if not self._state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._state, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
            raise TrainingError(f"{self._state} cannot be resumed from: {error}") from error
        return state

    def save_plan(self, steps: int) -> None:
        """Keep the number of steps for when the run is resumed."""
        with whole_file(self.directory / PLAN_FILE) as unfinished:
            unfinished.write_text(json.dumps({"steps": steps}), encoding="utf-8")

    def planned_steps(self) -> int | None:
        """The number of steps of a run that has begun; None if it has not, or was given one."""
        plan = self.directory / PLAN_FILE
        if not self._state.exists() or not plan.exists():
            return None
        steps: int = json.loads(plan.read_bytes())["steps"]
        return steps

    def begin_log(self, step: int) -> None:
        """Forget what was logged after `step`: a resumed run will log it again."""
        if not self._log.exists():
            return
        kept = [line for line in self._log.read_text().splitlines() if _is_before(line, step)]
        with whole_file(self._log) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in kept))

    def log(self, values: Mapping[str, Any]) -> None:
        """Add one line."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def samples_of(self, step: int) -> Path:
        """The folder of the samples of one step, made if it is not there."""
        folder = self.directory / "samples" / f"step_{step:07d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _is_before(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError):  # half a line, from a crash while it was written
        return False
