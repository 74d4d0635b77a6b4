"""Under which words and names a job is found: what the indexes of the store are made of. No store.

The terms of a job are kept in parts, one for each field that may change by itself. Each term is a
line that begins with a line break: `=rain` for a word, and `tag=slow`, `favorite`, `artist=...` and
`genre=...` for what lists are filtered by. Texts are compared folded: without accents and case.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobs.record.job import Job

MAX_WORD_CHARACTERS = 32
"""Longer words are found by as many characters."""
MAX_WORDS_OF_A_PART = 300
"""Of title, tags, notes and song, each: every one is an entry of an index."""
MAX_WORDS_OF_A_SEARCH = 12
MAX_SORTED_CHARACTERS = 60
"""Of a title, when titles are sorted."""

# Scripts without blanks between words: each character is one.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_APOSTROPHES = str.maketrans("", "", "'\u2019\u02bc")


def folded(text: str) -> str:
    """As texts are compared and sorted: without accents, case and repeated blanks."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(each for each in decomposed if not unicodedata.combining(each))
    return " ".join(bare.casefold().split())


def words_of(text: str) -> list[str]:
    """The different words of a text, folded, in order; `don't` is one, `dont`."""
    found = _WORD.findall(folded(text).translate(_APOSTROPHES))
    return list(dict.fromkeys(word[:MAX_WORD_CHARACTERS] for word in found))


def terms_of_job(job: Job) -> dict[str, str]:
    """All parts of a job."""
    annotations = {name: getattr(job, name) for name in ("title", "tags", "favorite", "notes")}
    owner = {"owner": job.owner} if job.owner is not None else {}
    return {**terms_of_annotations(annotations), "song": _lines(_terms_of_song(job)), **owner}


def terms_of_annotations(annotations: Mapping[str, Any]) -> dict[str, str]:
    """The parts that some fields of `Annotations` make; `sort` is what a title is sorted by."""
    parts = {}
    if "title" in annotations:
        title = annotations["title"] or ""
        parts["title"] = _lines(_as_words([title]))
        parts["sort"] = folded(title)[:MAX_SORTED_CHARACTERS]
    if "tags" in annotations:
        tags = annotations["tags"]
        parts["tags"] = _lines((*(tag_term(tag) for tag in tags), *_as_words(tags)))
    if "favorite" in annotations:
        parts["favorite"] = _lines([FAVORITE_TERM] if annotations["favorite"] else [])
    if "notes" in annotations:
        parts["notes"] = _lines(_as_words([annotations["notes"] or ""]))
    return parts


FAVORITE_TERM = "favorite"


def tag_term(tag: str) -> str:
    """The jobs with this tag."""
    return f"tag={folded(tag)}"


def artist_term(name: str) -> str:
    """The jobs of this artist, as named in the request or known to the model."""
    return f"artist={folded(name)}"


def genre_term(name: str) -> str:
    """The jobs of this genre, as named in the request or known to the model."""
    return f"genre={folded(name)}"


def _terms_of_song(job: Job) -> Iterator[str]:
    artists = {job.request.artist, *(span.artist for span in job.spans)}
    genres = {job.request.genre, *(span.genre for span in job.spans)}
    for level in job.labels.values():
        artists.add(level.get("artist", {}).get("name") or "")
        genres |= {genre.get("name") or "" for genre in level.get("genres", ())}
    named = [*sorted(filter(None, artists)), *sorted(filter(None, genres))]
    yield from (artist_term(name) for name in sorted(filter(None, artists)))
    yield from (genre_term(name) for name in sorted(filter(None, genres)))
    lyrics = dict.fromkeys([job.lyrics, *(span.lyrics for span in job.spans)])
    yield from _as_words([*named, *lyrics])


def _as_words(texts: Iterable[str]) -> Iterator[str]:
    words = dict.fromkeys(word for text in texts for word in words_of(text))
    return (f"={word}" for word in list(words)[:MAX_WORDS_OF_A_PART])


def _lines(terms: Iterable[str]) -> str:
    return "".join(f"\n{term}" for term in dict.fromkeys(terms))
