"""Music with known truth: songs made from a seed, with voices that sing any lyrics.

Eight invented genres and eight invented artists; every song knows when each character is sung.
Needs numpy only; writing them to files needs soundfile.
"""

from recipes.mini.synth.artists import ARTISTS
from recipes.mini.synth.compose import HELD_OUT_PAIRS, TRAINING_PAIRS, compose
from recipes.mini.synth.folder import write_songs
from recipes.mini.synth.genres import GENRES
from recipes.mini.synth.song import SungNote, SyntheticSong

__all__ = [
    "ARTISTS",
    "GENRES",
    "HELD_OUT_PAIRS",
    "TRAINING_PAIRS",
    "SungNote",
    "SyntheticSong",
    "compose",
    "write_songs",
]
