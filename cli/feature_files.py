"""Where features are written: one file per sound file, whole or not at all, and a list of them."""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.errors import UsageError
from jukebox_core.atomic_files import whole_file

LIST_FILE = "features.jsonl"
"""In a folder of features: one JSON object per file that was written."""

Shape = tuple[int, int]


def suffix_for(layers: Sequence[int]) -> str:
    """`.npy` for one layer; `.npz`, with an array per layer, for several."""
    return ".npy" if len(layers) == 1 else ".npz"


class FeatureFile:
    """A file of features while it is written: arrays are mapped, so their size costs no memory."""

    def __init__(self, parts: Mapping[int, Path]) -> None:
        self._parts = parts

    def allocate(self, layer: int, shape: Shape) -> NDArray[np.float32]:
        """The array of one layer, float32 of zeros."""
        array: NDArray[np.float32] = np.lib.format.open_memmap(
            self._parts[layer], mode="w+", dtype=np.float32, shape=shape
        )
        return array


@contextmanager
def feature_file(
    target: Path, layers: Sequence[int], on_finished: Callable[[int], None] | None = None
) -> Iterator[FeatureFile]:
    """Write the features of one sound; `target` appears at the end of the block, if all went well.

    One layer: an .npy, float32 [vectors, width]. Several: an .npz whose arrays are named
    `layer_36` and so on. `on_finished` is called with the size in bytes before `target` appears.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as unfinished:
        if len(layers) == 1:
            yield FeatureFile({layers[0]: unfinished})
        else:
            with ExitStack() as stack:
                parts = {
                    layer: stack.enter_context(_temporary(unfinished, layer)) for layer in layers
                }
                yield FeatureFile(parts)
                _pack(unfinished, parts)
        if on_finished is not None:
            on_finished(unfinished.stat().st_size)


@contextmanager
def _temporary(unfinished: Path, layer: int) -> Iterator[Path]:
    part = unfinished.with_name(f"{unfinished.name}-{layer}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _pack(target: Path, parts: Mapping[int, Path]) -> None:
    """What `numpy.savez` writes, without the arrays in memory: an .npz is a zip of .npy files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for layer, part in parts.items():
            archive.write(part, f"layer_{layer}.npy")


@dataclass
class FeatureFolder:
    """A folder of features, and its list: which file was made of which sound, and how.

    A file that is listed, was made from the same sound with the same settings, and has its full
    size is done. `settings` are plain JSON values.
    """

    folder: Path
    settings: Mapping[str, Any]
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        list_file = self.folder / LIST_FILE
        if not list_file.is_file():
            return
        for line in list_file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                self._rows[row["file"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # half a line, from a crash while it was written

    def check(self, name: Path, source: Path) -> None:
        """Make sure that writing `name` replaces nothing but an older state of the same thing.

        Raises:
            UsageError: the file is there, and is something else.
        """
        target = self.folder / name
        if not os.path.lexists(target):
            return
        row = self._rows.get(str(name))
        if row is None:
            reason = f"exists already, and is not listed in {self.folder / LIST_FILE}"
        elif row["source"] != str(source.absolute()):
            reason = f"holds the features of {row['source']}"
        elif row["settings"] != self.settings:
            reason = f"was made with other settings ({self._differences(row['settings'])})"
        else:
            return
        raise UsageError(
            f"{target} {reason}: name another folder with -o, or add --overwrite to replace it"
        )

    def is_done(self, name: Path, source: Path) -> bool:
        """Whether the features of `source` are there, whole and made with these settings."""
        row = self._rows.get(str(name), {})
        try:
            made_from = _facts(source)
            size = (self.folder / name).stat().st_size
        except OSError:
            return False
        wanted = {**made_from, "settings": self.settings, "bytes": size}
        return all(row.get(key) == value for key, value in wanted.items())

    def add(self, name: Path, source: Path, num_bytes: int, facts: Mapping[str, Any]) -> None:
        """List a file that is about to appear.

        An older state of it is deleted: a crash before the new one appears leaves neither, and
        never a listed file that is not what the list says.
        """
        row = {
            "file": str(name),
            **_facts(source),
            "bytes": num_bytes,
            **facts,
            "settings": self.settings,
        }
        (self.folder / name).unlink(missing_ok=True)
        self._rows[row["file"]] = row
        with (self.folder / LIST_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _differences(self, settings: Mapping[str, Any]) -> str:
        names = [*self.settings, *(name for name in settings if name not in self.settings)]
        return ", ".join(
            f"{name} {settings.get(name)} instead of {self.settings.get(name)}"
            for name in names
            if settings.get(name) != self.settings.get(name)
        )


def _facts(source: Path) -> dict[str, Any]:
    status = source.stat()
    return {
        "source": str(source.absolute()),
        "source_bytes": status.st_size,
        "source_modified_ns": status.st_mtime_ns,
    }
