"""Many songs, one step at a time: sequences, who moves next, and what moves them."""

from jukebox_core.engine.engine import Engine, SequenceUpdate
from jukebox_core.engine.sequence import Sequence, SequenceStatus

__all__ = ["Engine", "Sequence", "SequenceStatus", "SequenceUpdate"]
