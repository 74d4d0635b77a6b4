"""What the parts of edited songs are sung as: of a splice, and of songs that go on from one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.submission.sources import Codes, Origin, sung_lyrics
from api.web.errors import invalid_field
from jobs.record.bodies import ContinueBody, SpliceBody, UpsampleBody
from jobs.record.job import Job, SongSpan
from jobs.record.request import SplicePart
from jobs.record.spans import (
    MAX_SPANS,
    cut_spans,
    joined_spans,
    lyrics_of,
    relabelled,
    request_span,
    span_at,
    spans_of,
)
from jukebox_core.config import JukeboxConfig
from jukebox_core.sampling.cascade import default_song_duration_sec
from jukebox_core.sampling.splice import PlacedPart
from jukebox_core.units import Level

LABELS = ("artist", "genre", "artist_id", "genre_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTake:
    """A part, the codes of its take [channels, T] at each level, and where it lies."""

    wanted: SplicePart
    origin: Origin
    codes: Codes
    placed: PlacedPart


def spliced_spans(
    body: SpliceBody, parts: Sequence[PlacedTake], config: JukeboxConfig, duration_sec: float
) -> tuple[SongSpan, ...]:
    """What each part is sung as. Raises InvalidRequest."""
    found = [
        [relabelled(span, body) for span in _own_spans(number, part, body, config)]
        for number, part in enumerate(parts)
    ]
    inherited = lyrics_of(span for spans in found for span in spans)
    given = given_lyrics(body)
    if given not in (None, inherited):
        whole_sec = body.song_duration_seconds or default_song_duration_sec(
            config, duration_sec, body.offset_seconds
        )
        for part, spans in zip(parts, found, strict=True):
            if part.wanted.lyrics is None:
                spans[:] = [
                    replace(
                        span,
                        lyrics=given,
                        own_lyrics=None,
                        song_duration_sec=whole_sec,
                        offset_sec=body.offset_seconds,
                    )
                    for span in spans
                ]
    # What a part says goes before what is said of the whole song.
    joined = joined_spans(
        relabelled(span, part.wanted)
        for part, spans in zip(parts, found, strict=True)
        for span in spans
    )
    if len(joined) > MAX_SPANS:
        sentence = f"{len(joined)} stretches of edited songs: at most {MAX_SPANS} can be joined"
        raise invalid_field("body", ["parts"], sentence)
    return joined


def given_lyrics(body: SpliceBody) -> str | None:
    """The words that are given for the whole song, if any are. Raises InvalidRequest."""
    if "lyrics" not in body.model_fields_set:
        return None
    return str(sung_lyrics({"lyrics": body.lyrics, "lyrics_format": body.lyrics_format})["lyrics"])


def _own_spans(
    number: int, part: PlacedTake, body: SpliceBody, config: JukeboxConfig
) -> tuple[SongSpan, ...]:
    """What a part is sung as in its source; with words of its own, it is a song for itself."""
    time_base, placed = config.time_base, part.placed
    start_sec, end_sec, position_sec = (
        time_base.tokens_to_seconds(token, Level.TOP)
        for token in (placed.start, placed.end, placed.position)
    )
    source = _source_spans(number, part, body, config)
    spans = cut_spans(source, start_sec, end_sec, position_sec=position_sec)
    if part.wanted.lyrics is None:
        return spans
    words = sung_lyrics({"lyrics": part.wanted.lyrics, "lyrics_format": body.lyrics_format})
    return tuple(
        replace(
            span,
            lyrics=words["lyrics"],
            own_lyrics=None,
            song_duration_sec=end_sec - start_sec,
            offset_sec=-position_sec,
        )
        for span in spans
    )


def _source_spans(
    number: int, part: PlacedTake, body: SpliceBody, config: JukeboxConfig
) -> Sequence[SongSpan]:
    """Of a whole source. Raises InvalidRequest for codes without labels."""
    if part.origin.parent is not None:
        return spans_of(part.origin.parent)
    for name, ids in (("artist", "artist_id"), ("genre", "genre_ids")):
        if all(
            getattr(giver, each) is None for giver in (part.wanted, body) for each in (name, ids)
        ):
            sentence = "this field is required with uploaded codes"
            raise invalid_field("body", ["parts", number, name], sentence)
    num_tokens = part.codes[Level.TOP].num_tokens
    return (
        SongSpan(
            position_sec=0.0,
            artist="",
            genre="",
            artist_id=None,
            genre_ids=None,
            lyrics="",
            song_duration_sec=config.time_base.tokens_to_seconds(num_tokens, Level.TOP),
            offset_sec=0.0,
        ),
    )


def completed_part(
    part: PlacedTake, spans: Sequence[SongSpan], config: JukeboxConfig
) -> SplicePart:
    """A part as it was understood, so that it can be sent again: moments as they were moved."""
    start_sec, end_sec, position_sec, position_end_sec = (
        config.time_base.tokens_to_seconds(token, Level.TOP)
        for token in (
            part.placed.start,
            part.placed.end,
            part.placed.position,
            part.placed.position_end,
        )
    )
    own = cut_spans(spans, position_sec, position_end_sec)
    labels = {(span.artist, span.genre, repr(span.artist_id), repr(span.genre_ids)) for span in own}
    changes: dict[str, object] = {"start_seconds": start_sec, "end_seconds": end_sec}
    if len(labels) == 1:
        changes |= {name: getattr(own[0], name) for name in LABELS}
    return part.wanted.model_copy(update=changes)


def inherited_spans(
    body: ContinueBody | UpsampleBody, parent: Job | None, job: Job
) -> tuple[SongSpan, ...]:
    """What the parts of a song are sung as that goes on from an edited one; none for others.

    What is added to it goes on from its last part; finer levels of an old part are sung as that
    part. What the body gives holds instead, in a `continue` for what is added alone.
    """
    if parent is None or not parent.spans:
        return ()
    if isinstance(body, UpsampleBody):
        spans = cut_spans(parent.spans, 0.0, job.duration_sec)
        return joined_spans(_as_given(relabelled(span, body), body, job) for span in spans)
    top = job.plan[Level.TOP.label]
    kept_sec = job.duration_sec * top.prompt_tokens / top.output_tokens
    last = span_at(parent.spans, kept_sec)
    added = replace(
        request_span(job, position_sec=kept_sec),
        song_duration_sec=max(last.song_duration_sec, last.offset_sec + job.duration_sec),
        offset_sec=last.offset_sec,
    )
    return joined_spans((*cut_spans(parent.spans, 0.0, kept_sec), _as_given(added, body, job)))


def _as_given(span: SongSpan, body: ContinueBody | UpsampleBody, job: Job) -> SongSpan:
    """A span with the words and times of the request, if the body gives any of them."""
    given = {name for name in body.model_fields_set if getattr(body, name) is not None}
    if not given & {"lyrics", "song_duration_seconds", "offset_seconds"}:
        return span
    whole = request_span(job, position_sec=0.0)
    return replace(
        span,
        lyrics=whole.lyrics,
        own_lyrics=None,
        song_duration_sec=whole.song_duration_sec,
        offset_sec=whole.offset_sec,
    )
