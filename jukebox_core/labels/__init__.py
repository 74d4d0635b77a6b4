"""Words into numbers: artist, genre and lyrics as each prior of a model was taught them."""

from jukebox_core.labels.labels import Labels, SongLabels, relevant_lyrics, window_labels
from jukebox_core.labels.lyrics import LyricAlphabet, LyricWindow, lyric_window
from jukebox_core.labels.lyrics_text import (
    LyricsFormat,
    LyricsText,
    decode_text,
    normalize_line_breaks,
    read_lyrics,
)
from jukebox_core.labels.tokenizer import JukeboxTokenizer
from jukebox_core.labels.vocabulary import UNKNOWN_ID, ResolvedName, Vocabulary

__all__ = [
    "UNKNOWN_ID",
    "JukeboxTokenizer",
    "Labels",
    "LyricAlphabet",
    "LyricWindow",
    "LyricsFormat",
    "LyricsText",
    "ResolvedName",
    "SongLabels",
    "Vocabulary",
    "decode_text",
    "lyric_window",
    "normalize_line_breaks",
    "read_lyrics",
    "relevant_lyrics",
    "window_labels",
]
