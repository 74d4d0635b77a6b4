"""Songs that the original saved: the codes of `data.pth.tar`, without running what it may hold.

`sample.py` there saves `zs`, the codes of its three levels from the finest to the coarsest, beside
labels, settings and sound. A bare list of three levels is taken, too.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jukebox_core.checkpoints.tensor_writing import save_file
from jukebox_core.errors import CheckpointError
from jukebox_core.units import COARSE_TO_FINE, Level


def read_openai_codes(path: Path) -> dict[Level, Tensor]:
    """Codes int64 [songs, T] of each level that has any, coarsest first.

    Levels under one that has none are left out: they could not be gone on with.

    Raises:
        CheckpointError: the file cannot be read, holds more than plain data, or has no codes.
    """
    levels = _levels_of(path, _load(path))
    codes: dict[Level, Tensor] = {}
    for level in COARSE_TO_FINE:
        stream = _checked(path, level, levels[int(level)])
        if stream.shape[1] == 0:
            break
        codes[level] = stream
    if not codes:
        raise CheckpointError(f"{path} holds no codes of the top level")
    if len({len(stream) for stream in codes.values()}) > 1:
        shapes = {level.label: list(stream.shape) for level, stream in codes.items()}
        raise CheckpointError(f"{path} holds different numbers of songs per level: {shapes}")
    return codes


def import_openai_codes(source: Path, destination: Path) -> dict[str, tuple[int, int]]:
    """Write the codes of `source` as a file that `POST /assets` takes, int32 [songs, T].

    Returns:
        [songs, T] of each level, coarsest first.

    Raises:
        CheckpointError: see `read_openai_codes`.
        OSError: `destination` cannot be written.
    """
    codes = read_openai_codes(source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    tensors = {level.label: stream.int().contiguous() for level, stream in codes.items()}
    save_file(tensors, destination)
    return {level.label: (len(stream), stream.shape[1]) for level, stream in codes.items()}


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever somebody saved
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain data, which could run code when it is "
            "read: it was not read"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read as a file of torch.save: {error}") from error


def _levels_of(path: Path, saved: object) -> list[Any]:
    """The levels, finest first."""
    levels = saved.get("zs") if isinstance(saved, Mapping) else saved
    if not isinstance(levels, (list, tuple)) or len(levels) != len(Level):
        held = sorted(map(str, saved)) if isinstance(saved, Mapping) else type(saved).__name__
        raise CheckpointError(f"{path} holds {held}: wanted is `zs`, a list of three levels")
    return list(levels)


def _checked(path: Path, level: Level, stream: object) -> Tensor:
    if isinstance(stream, Tensor) and stream.ndim == 2 and not stream.is_floating_point():
        smallest = int(stream.min()) if stream.numel() else 0
        if stream.dtype != torch.bool and smallest >= 0:
            return stream.long()
    found = f"{stream.dtype} {list(stream.shape)}" if isinstance(stream, Tensor) else type(stream)
    raise CheckpointError(
        f"{path}: the {level.label} level is {found}; wanted are whole numbers from 0 on, "
        "[songs, tokens]"
    )
