"""Codes in a safetensors file, as `GET /jobs/{id}/codes` gives them; no torch.

Tensors `top`, `middle` and `bottom` of whole numbers [num_samples, tokens]; finer levels may be
absent, and a single song may be [tokens]. In stereo the levels below the top have twice as many
rows, first all left channels (`jukebox_core/channels.py`). The metadata `model` names the model
they belong to; `codebook_top`, `codebook_middle` and `codebook_bottom` the codebooks of its codec
(`jukebox_core/vqvae/identity.py`).
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from jukebox_core.errors import CodecChanged, SongError
from jukebox_core.small_files import require_regular
from jukebox_core.units import COARSE_TO_FINE

MAX_CODES = 2**24
"""Of all levels together: 16 songs of three minutes."""

MAX_ROWS = 16
"""Songs; in stereo the levels below the top have two rows for each."""

_LEVELS = tuple(level.label for level in COARSE_TO_FINE)
_DTYPES = ("U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")
_MAX_CODE = 2**20
_CODEBOOK_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_CODEBOOK_KEY = "codebook_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesFacts:
    """What a file of codes holds; `num_tokens` is per row, for each level that is there."""

    num_samples: int
    num_channels: int
    num_tokens: Mapping[str, int]
    model: str | None


def codebook_metadata(codebooks: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a file of codes that names the codebook of each level."""
    return {f"{_CODEBOOK_KEY}{level}": codebook for level, codebook in codebooks.items()}


def named_codebooks(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The codebooks that the metadata of a file of codes names, by level; what is none is left out.

    Files of earlier releases, and those made by hand, name none.
    """
    named = {level: metadata.get(f"{_CODEBOOK_KEY}{level}") for level in _LEVELS}
    return {
        level: codebook
        for level, codebook in named.items()
        if isinstance(codebook, str) and _CODEBOOK_ID.fullmatch(codebook)
    }


def check_codebooks(
    found: Mapping[str, str], expected: Mapping[str, str], *, model: str, advice: str
) -> None:
    """Compare the codebooks that codes were made with with those of `model`, by level.

    Levels that are not in `found` are not judged.

    Raises:
        CodecChanged: one is another; the message ends with `advice`.
    """
    for level, codebook in found.items():
        if codebook != expected[level]:
            raise CodecChanged(
                f"the codes of the {level} level were made with the codebook {codebook}, and that "
                f"of {model} is {expected[level]}: the model has another codec now, with which "
                f"these codes would be noise. {advice}"
            )


def ingest_codes(source: Path, destination: Path) -> CodesFacts:
    """Check a file of codes and write it anew as int32 [rows, tokens] for each level.

    Raises:
        SongError: it is no such file; the sentence says why.
    """
    codes, named = _read(source, max_rows=MAX_ROWS, max_codes=MAX_CODES)
    model = _model_of(named)
    codebooks = {k: v for k, v in named_codebooks(named).items() if k in codes}
    metadata = ({"model": model} if model else {}) | codebook_metadata(codebooks)
    # Not by its own writer, whose errors do not tell a full disk from anything else.
    destination.write_bytes(safetensors.numpy.save(codes, metadata=metadata or None))
    return CodesFacts(
        num_samples=len(codes["top"]),
        num_channels=len(codes[list(codes)[-1]]) // len(codes["top"]),
        num_tokens={name: rows.shape[1] for name, rows in codes.items()},
        model=model,
    )


def read_codes_file(path: Path) -> dict[str, NDArray[np.int64]]:
    """What `ingest_codes` takes, of any size: int64 [num_samples, tokens], coarsest first.

    Raises:
        SongError: it is no such file; the sentence says why.
    """
    codes, _ = _read(path, max_rows=sys.maxsize, max_codes=sys.maxsize)
    return {name: rows.astype(np.int64) for name, rows in codes.items()}


def read_codebooks(path: Path) -> dict[str, str]:
    """The codebooks that a file of codes names, by its header alone, see `named_codebooks`.

    Raises:
        SongError: it cannot be read.
    """
    try:
        require_regular(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            names, named = set(file.keys()), named_codebooks(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _refusal("the file cannot be read as safetensors") from error
    return {level: each for level, each in named.items() if level in names}


def _read(
    path: Path, *, max_rows: int, max_codes: int
) -> tuple[dict[str, NDArray[np.int32]], dict[str, str]]:
    """Checked codes of every level, and the metadata."""
    try:
        require_regular(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            names = _checked_names(file, max_rows, max_codes)
            codes = {name: _checked_codes(name, file.get_tensor(name)) for name in names}
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise _refusal("the file cannot be read as safetensors") from error
    num_rows = {name: len(rows) for name, rows in codes.items()}
    below = {num for name, num in num_rows.items() if name != "top"}
    if len(below) > 1 or not below <= {num_rows["top"], 2 * num_rows["top"]}:
        raise _refusal(
            f"the levels hold different numbers of songs: {num_rows}; below the top there is a row "
            "for each song, or two for each song in stereo"
        )
    return codes, metadata


def _model_of(metadata: Mapping[str, str]) -> str | None:
    model = metadata.get("model")
    return model if model is not None and len(model) <= 64 else None


def _checked_names(
    file: Any,  # noqa: ANN401  (safetensors has no types)
    max_rows: int,
    max_codes: int,
) -> tuple[str, ...]:
    """Judge names, types and shapes by the header alone."""
    found = list(file.keys())
    names = _LEVELS[: len(found)]
    if not found or set(found) != set(names):
        shown = ", ".join(sorted(found)[:5]) or "nothing"
        raise _refusal(
            f"the file holds {shown[:100]}: wanted are the tensors top; top and middle; or top, "
            "middle and bottom"
        )
    num_codes = 0
    for name in names:
        part = file.get_slice(name)
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in _DTYPES or len(shape) not in (1, 2):
            raise _refusal(f"{name} is {dtype} {shape}: wanted are whole numbers [songs, tokens]")
        num_rows = shape[0] if len(shape) == 2 else 1
        most = max_rows if name == _LEVELS[0] else 2 * max_rows
        if not 1 <= num_rows <= most or shape[-1] < 1:
            raise _refusal(f"{name} is {shape}: wanted are 1 to {most} rows of some tokens")
        num_codes += num_rows * shape[-1]
    if num_codes > max_codes:
        raise _refusal(f"the file holds {num_codes} codes; {max_codes} are taken")
    return names


def _checked_codes(name: str, tensor: NDArray[np.integer]) -> NDArray[np.int32]:
    if tensor.min() < 0 or tensor.max() >= _MAX_CODE:
        raise _refusal(
            f"{name} holds numbers from {tensor.min()} to {tensor.max()}, which are no codes"
        )
    return np.ascontiguousarray(np.atleast_2d(tensor), dtype=np.int32)


def _refusal(sentence: str) -> SongError:
    return SongError(sentence, field="codes")
