"""Sound: files, headers, tensors, other formats, and what untrusted files have to pass.

Names are imported when they are first asked for, so that the
parts without torch stay without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jukebox_core.audio.files import AudioFormat
    from jukebox_core.audio.tensors import map_audio, read_audio, resample, write_audio

_HOME = {
    "AudioFormat": "files",
    "map_audio": "tensors",
    "read_audio": "tensors",
    "resample": "tensors",
    "write_audio": "tensors",
}

__all__ = ["AudioFormat", "map_audio", "read_audio", "resample", "write_audio"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol asks for it
    if name not in _HOME:
        raise AttributeError(f"module 'jukebox_core.audio' has no attribute {name!r}")
    return getattr(import_module(f"jukebox_core.audio.{_HOME[name]}"), name)
