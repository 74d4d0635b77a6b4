"""What a model takes: memory, time to load, precision."""

from jukebox_core.units import COARSE_TO_FINE

LABELS = [level.label for level in COARSE_TO_FINE]
