"""Where the weights of a model directory came from, and their hashes: `origin.json`.

{"source": "openai https://...", "files": {"vqvae.safetensors": {"num_bytes": 1, "sha256": "",
 "fetched_from": "https://..."}}}
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jukebox_core.config import Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.models.download import sha256_of
from jukebox_core.small_files import read_small_json

ORIGIN_FILE = "origin.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file as it was when it was written.

    `fetched_from` names the file it was made of; `weights` is None where they are not int8.
    """

    num_bytes: int
    sha256: str
    fetched_from: str | None = None
    weights: Weights | None = None


@dataclass(slots=True, kw_only=True)
class Origin:
    """Who gave the weights (`source`), and a record of each file that is finished."""

    source: str
    files: dict[str, FileRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> "Origin | None":
        """What a directory says of itself; None if it says nothing.

        Raises:
            CheckpointError: the file is there, but broken.
        """
        file = directory / ORIGIN_FILE
        try:
            values = read_small_json(file)
            records = {name: FileRecord(**record) for name, record in values["files"].items()}
            return cls(source=values["source"], files=records)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{file} is broken: {error}") from error

    def add(
        self, file: Path, *, fetched_from: str | None = None, weights: Weights | None = None
    ) -> None:
        """Record a finished file, and write the record beside it."""
        self.files[file.name] = FileRecord(
            num_bytes=file.stat().st_size,
            sha256=sha256_of(file),
            fetched_from=fetched_from,
            weights=weights,
        )
        self.write(file.parent)

    def has(
        self, file: Path, *, fetched_from: str | None = None, weights: Weights | None = None
    ) -> bool:
        """Whether `file` is there and is the one that was made of `fetched_from` in this way."""
        record = self.files.get(file.name)
        return (
            record is not None
            and (record.fetched_from, record.weights) == (fetched_from, weights)
            and file.is_file()
            and file.stat().st_size == record.num_bytes
        )

    def write(self, directory: Path) -> None:
        """Write the record, in one step."""
        values = asdict(self)
        for record in values["files"].values():
            if record["weights"] is None:
                del record["weights"]  # earlier releases do not know it
        unfinished = directory / f".{ORIGIN_FILE}"
        unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, directory / ORIGIN_FILE)


def require_hashes(directory: Path) -> None:
    """Every file whose hash is recorded has it still; nothing is known of others.

    Raises:
        CheckpointError: a file is not what was written, or is not there.
    """
    origin = Origin.read(directory)
    for name, record in ({} if origin is None else origin.files).items():
        file = directory / name
        if not file.is_file() or sha256_of(file) != record.sha256:
            raise CheckpointError(
                f"{file} is not what was written (SHA-256 should be {record.sha256}), and nothing "
                "was made of it: fetch or copy the model again"
            )
