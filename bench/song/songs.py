"""Songs that are measured: which, and how many."""

import argparse

from jukebox_core import JukeboxModel
from jukebox_core.labels import Labels


def add_song_options(parser: argparse.ArgumentParser, *, songs: int, seconds: float) -> None:
    """How many songs, how long, on how many threads."""
    parser.add_argument("--songs", type=int, default=songs, help="one after the other")
    parser.add_argument("--seconds", type=float, default=seconds, help="of each song")
    parser.add_argument("--threads", type=int, default=1)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Of the library's own, if none is named."""
    parser.add_argument("model", nargs="?", default="mini", help="directory, or mini")


def labels_of(model: JukeboxModel, number: int) -> Labels:
    """Another artist and genre for each number, with the same few words."""
    vocabulary = next(iter(model.tokenizer.vocabularies.values()))
    artists, genres = list(vocabulary.artists), list(vocabulary.genres)
    artist, genre = artists[number % len(artists)], genres[number % len(genres)]
    return model.tokenizer(artist, genre, "one two three four")
