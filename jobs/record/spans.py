"""What the parts of an edited song are sung as: kept from their sources, cut, moved, overridden."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from jobs.record.job import Job, SongSpan
from jobs.record.request import ArtistIds, GenreIds

MAX_SPANS = 256
"""Of one song. Only songs that were put together from such songs again and again have so many."""

_SAME_SEC = 1e-6


class GivenLabels(Protocol):
    """Labels that a request gives: None for what it leaves as it is."""

    @property
    def artist(self) -> str | None: ...  # noqa: D102
    @property
    def genre(self) -> str | None: ...  # noqa: D102
    @property
    def artist_id(self) -> ArtistIds | None: ...  # noqa: D102
    @property
    def genre_ids(self) -> GenreIds | None: ...  # noqa: D102


def spans_of(job: Job) -> tuple[SongSpan, ...]:
    """What a whole song is sung as: one span where it was never put together."""
    return job.spans or (request_span(job, position_sec=0.0),)


def request_span(job: Job, *, position_sec: float) -> SongSpan:
    """What the request of a job says, from a moment of its song on."""
    request = job.request
    return SongSpan(
        position_sec=position_sec,
        artist=request.artist,
        genre=request.genre,
        artist_id=request.artist_id,
        genre_ids=request.genre_ids,
        lyrics=job.lyrics,
        song_duration_sec=request.song_duration_seconds or job.duration_sec,
        offset_sec=request.offset_seconds,
        left_genre=request.channel_genres.get("left"),
        right_genre=request.channel_genres.get("right"),
    )


def cut_spans(
    spans: Sequence[SongSpan], start_sec: float, end_sec: float, *, position_sec: float = 0.0
) -> tuple[SongSpan, ...]:
    """The spans of [start, end) of a song, for another song in which it begins at `position_sec`.

    Each keeps its place in the imagined song.
    """
    moved_sec = position_sec - start_sec
    ends = [*(span.position_sec for span in spans[1:]), end_sec]
    return tuple(
        replace(
            span,
            position_sec=max(span.position_sec, start_sec) + moved_sec,
            offset_sec=span.offset_sec - moved_sec,
        )
        for span, end in zip(spans, ends, strict=True)
        if end > start_sec + _SAME_SEC and span.position_sec < end_sec - _SAME_SEC
    )


def span_at(spans: Sequence[SongSpan], sec: float) -> SongSpan:
    """The span that is heard just before a moment: what goes on there goes on from it."""
    before = [span for span in spans if span.position_sec < sec - _SAME_SEC]
    return before[-1] if before else spans[0]


def relabelled(span: SongSpan, given: GivenLabels) -> SongSpan:
    """A span with the labels that are given; an id stands in for the name."""
    changes: dict[str, Any] = {}
    for name, ids in (("artist", "artist_id"), ("genre", "genre_ids")):
        given_name, given_ids = getattr(given, name), getattr(given, ids)
        if given_name is not None:
            changes |= {name: given_name, ids: given_ids}
        elif isinstance(given_ids, dict):
            # Ids of some label versions leave the name in force for the others.
            changes |= {ids: given_ids}
        elif given_ids is not None:
            changes |= {name: "", ids: given_ids}
    sides = getattr(given, "stereo_genres", None)
    if sides is not None:
        changes |= {"left_genre": sides.left, "right_genre": sides.right}
    elif "genre" in changes:
        # Another genre is meant for both channels.
        changes |= {"left_genre": None, "right_genre": None}
    return replace(span, **changes)


def joined_spans(spans: Iterable[SongSpan]) -> tuple[SongSpan, ...]:
    """Spans in order, those that go on from the one before left out."""
    kept: list[SongSpan] = []
    for span in spans:
        if kept and _goes_on(kept[-1], span):
            continue
        kept.append(span)
    return tuple(kept)


def _goes_on(before: SongSpan, span: SongSpan) -> bool:
    same_place = abs(before.offset_sec - span.offset_sec) < _SAME_SEC
    as_before = replace(span, position_sec=before.position_sec, offset_sec=before.offset_sec)
    return same_place and as_before == before


def lyrics_of(spans: Iterable[SongSpan]) -> str:
    """The words of all spans, each text once."""
    found = (span.lyrics if span.own_lyrics is None else span.own_lyrics for span in spans)
    texts = dict.fromkeys(text.strip("\n") for text in found)
    return "\n\n".join(text for text in texts if text.strip())
