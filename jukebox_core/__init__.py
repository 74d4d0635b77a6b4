"""The model library: torch in, sound out; knows no HTTP, Redis or Celery.

Names are imported when they are first asked for, so that the parts without torch stay without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
    from jukebox_core.errors import JukeboxError
    from jukebox_core.labels import JukeboxTokenizer, read_lyrics
    from jukebox_core.model import JukeboxModel
    from jukebox_core.prior import JukeboxPrior
    from jukebox_core.sampling.spliced_codes import SplicePart
    from jukebox_core.song import SamplingParams, Song
    from jukebox_core.units import Level
    from jukebox_core.vqvae import JukeboxVQVAE

_HOME = {
    "JukeboxConfig": "config",
    "JukeboxError": "errors",
    "JukeboxModel": "model",
    "JukeboxPrior": "prior",
    "JukeboxPriorConfig": "config",
    "JukeboxTokenizer": "labels",
    "JukeboxVQVAE": "vqvae",
    "JukeboxVQVAEConfig": "config",
    "Level": "units",
    "SamplingParams": "song",
    "Song": "song",
    "SplicePart": "sampling.spliced_codes",
    "read_lyrics": "labels",
}

__all__ = [
    "JukeboxConfig",
    "JukeboxError",
    "JukeboxModel",
    "JukeboxPrior",
    "JukeboxPriorConfig",
    "JukeboxTokenizer",
    "JukeboxVQVAE",
    "JukeboxVQVAEConfig",
    "Level",
    "SamplingParams",
    "Song",
    "SplicePart",
    "read_lyrics",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol asks for it
    if name not in _HOME:
        raise AttributeError(f"module 'jukebox_core' has no attribute {name!r}")
    return getattr(import_module(f"jukebox_core.{_HOME[name]}"), name)
