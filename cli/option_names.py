"""The options of the command line for the fields of requests that errors are about."""

import re
from collections.abc import Mapping

_OPTIONS: Mapping[str, str] = {
    "model": "--model",
    "mode": "--mode",
    "artist": "--artist",
    "genre": "--genre",
    "artist_id": "--artist-id",
    "genre_ids": "--genre-ids",
    "lyrics": "--lyrics",
    "lyrics_format": "--lyrics-format",
    "duration_seconds": "--seconds",
    "song_duration_seconds": "--song-seconds",
    "offset_seconds": "--offset",
    "cut_seconds": "--cut",
    "start_seconds": "--from",
    "end_seconds": "--to",
    "num_samples": "--takes",
    "sample": "--take",
    "seed": "--seed",
    "sampling": "--temperature",
    "levels": "--stop-after",
    "speed": "--speed",
    "channels": "--channels",
    "stereo_genres/left": "--left-genre",
    "stereo_genres/right": "--right-genre",
    "stereo_genres": "--left-genre",
    "audio_format": "--format",
    "webhook_url": "--webhook",
    "timeout_seconds": "--timeout",
    "prompt": "--prompt",
    "prompt/asset_id": "--prompt",
    "prompt/start_seconds": "--prompt-start",
    "prompt/seconds": "--prompt-seconds",
    "parent_id": "SONG",
    "parts": "PART",
    "mend_seconds": "--mend",
    "file": "FILE",
    "format": "--format",
    "level": "--level",
    "status": "--status",
    "limit": "--limit",
    "title": "--title",
    "tags": "--tag",
    "tag": "--tag",
    "notes": "--notes",
    "metadata": "--metadata",
    "favorite": "--favorite",
    "q": "--search",
    "created_after": "--after",
    "created_before": "--before",
}
"""By the beginning of the JSON pointer in `errors` of the service, or the query parameter."""

_WORDS: Mapping[str, str] = {
    **{name: option for name, option in _OPTIONS.items() if "_" in name and "/" not in name},
    "duration_sec": "--seconds",
    "song_duration_sec": "--song-seconds",
    "offset_sec": "--offset",
    "keep_sec": "--cut",
    "keep_seconds": "--cut",
    "start_sec": "--from",
    "end_sec": "--to",
    "n_samples": "--takes",
}
"""Names that no sentence holds by chance."""
_VALUES: Mapping[str, str] = {
    **{name: option for name, option in _OPTIONS.items() if "/" not in name},
    **_WORDS,
    "row": "--take",
    "temperature": "--temperature",
}
"""Names that are meant where `name=value` stands."""

_VALUE = re.compile(rf"\b(?:self\.)?({'|'.join(_VALUES)})=")
_WORD = re.compile(rf"`?\b({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b`?")


def option_of_pointer(pointer: str) -> str:
    """The option for a JSON pointer such as `/prompt/seconds`; the pointer where there is none."""
    steps = pointer.strip("/").split("/")
    if steps[0] == "parts" and len(steps) > 1 and steps[1].isdecimal():
        return f"PART {int(steps[1]) + 1}"
    for length in (2, 1):
        option = _OPTIONS.get("/".join(steps[:length]))
        if option is not None:
            return option
    return pointer


def in_options(sentence: str) -> str:
    """A sentence of the service or the library with options for the names of fields."""
    sentence = _VALUE.sub(lambda found: f"{_VALUES[found[1]]} ", sentence)
    return _WORD.sub(lambda found: _WORDS[found[1]], sentence)
