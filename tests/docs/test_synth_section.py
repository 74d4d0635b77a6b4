"""What the page on training says about made-up songs is so."""

import re

import numpy as np

from recipes.mini.synth.artists import ARTISTS
from recipes.mini.synth.genres import GENRE_STYLES
from tests.docs.pages import ROOT, blocks_of

PAGE = "docs/guides/training.md"


def test_the_example_in_python_makes_a_song_with_its_truth():
    (block,) = blocks_of(PAGE, "synth")
    names = {}
    exec(block.code, names)
    song = names["song"]
    assert (song.genre, song.artist, song.lyrics[:8]) == ("fernjig", "tamsinreed", "Lanterns")
    assert np.isfinite(song.character_start_sec).sum() > 10
    assert abs(np.sqrt(np.mean(song.audio**2)) - 0.1) < 0.01


def test_the_table_of_genres_is_the_genres():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d)/\d \| (\d+) to (\d+)", text, re.MULTILINE)
    assert rows == [
        (
            genre.name,
            str(genre.beats_per_bar),
            str(round(genre.tempo_bpm[0])),
            str(round(genre.tempo_bpm[1])),
        )
        for genre in GENRE_STYLES
    ]


def test_every_artist_is_described():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert [name for name in ARTISTS if f"{name} (" not in text] == []
