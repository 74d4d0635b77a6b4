"""Music with known truth: songs made from a seed, with voices that sing any lyrics.

Eight invented genres and eight invented artists; every song knows when each character is sung.
Needs numpy only; writing them to files needs soundfile.
"""

from jukebox_core.synth.artists import ARTISTS
from jukebox_core.synth.compose import HELD_OUT_PAIRS, TRAINING_PAIRS, compose
from jukebox_core.synth.folder import write_songs
from jukebox_core.synth.genres import GENRES
from jukebox_core.synth.song import SungNote, SyntheticSong
from jukebox_core.synth.words import VOWELS, syllables, vowels_of_characters

__all__ = [
    "ARTISTS",
    "GENRES",
    "HELD_OUT_PAIRS",
    "TRAINING_PAIRS",
    "VOWELS",
    "SungNote",
    "SyntheticSong",
    "compose",
    "syllables",
    "vowels_of_characters",
    "write_songs",
]
