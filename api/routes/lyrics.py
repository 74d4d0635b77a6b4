"""The lyrics of a song as its model reads them, whole and for each window."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies import JobId, Services, ServicesDep
from api.routes.models import ModelName, card_of
from api.submission.admission import request_field, request_sentence
from api.views.job_schemas import LyricsView, LyricsWindowView, LyricsWordView
from api.views.openapi import problems
from api.web.errors import invalid_field
from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import alignment_name
from jobs.record.job import Job, SongSpan
from jobs.record.request import MAX_SAMPLES, JobRequest, LyricsFormat, Seconds, SecondsFromZero
from jobs.record.songs import PlannedSong, complete_request, plan_job, plan_request
from jukebox_core.alignment.formats import from_json
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import LabelError, SongError
from jukebox_core.labels import read_lyrics
from jukebox_core.models.catalog import ModelCard
from jukebox_core.sampling.label_spans import LabelSpan, make_span
from jukebox_core.sampling.window_lyrics import paced_lyrics, paced_words, window_lyrics
from jukebox_core.units import Level

router = APIRouter()

_MAX_PREVIEW_CHARACTERS = 8_000


class LyricsQuery(BaseModel):
    """The take, and how much would be added to it."""

    sample: Annotated[int, Field(ge=0, lt=MAX_SAMPLES, description="Number of the take")] = 0
    next_seconds: Annotated[
        Seconds, Field(description="Length that a `continue` would add, for `next`")
    ] = 10.0


class PreviewQuery(BaseModel):
    """The lyrics and the song; the fields are those of `POST /jobs`."""

    lyrics: Annotated[str, Field(max_length=_MAX_PREVIEW_CHARACTERS)]
    lyrics_format: LyricsFormat = "auto"
    duration_seconds: Seconds
    song_duration_seconds: Seconds | None = None
    offset_seconds: SecondsFromZero = 0.0


@router.get(
    "/jobs/{job_id}/lyrics",
    operation_id="getLyrics",
    summary="Get the lyrics",
    tags=["files"],
    responses=problems(404, 503),
)
def get_lyrics(
    job_id: JobId, query: Annotated[LyricsQuery, Query()], services: ServicesDep
) -> LyricsView:
    """Returns the text in the model's alphabet and the part of it that each window reads.

    `windows` is empty if no level that the job generates reads lyrics. `sung`, `left` and `next`
    tell how far a take has come, from its lyric timing.
    """
    job = services.store.get(job_id)
    if query.sample >= job.request.num_samples:
        number = job.request.num_samples
        sentence = f"the job has {number} sample{'s' * (number != 1)}, numbered from 0"
        raise invalid_field("query", ["sample"], sentence)
    card = card_of(services.catalog, job.request.model)
    view = _view(card, plan_job(job, card.config), job.spans)
    if not view.text:
        return view
    sung_end = _sung_end(services, job, query.sample, view.text)
    if sung_end is None:
        return view
    return view.model_copy(
        update={
            "sung": view.text[:sung_end],
            "left": view.text[sung_end:].strip(),
            "next": _next_text(card, job, view.text, sung_end, query.next_seconds),
        }
    )


def _sung_end(services: Services, job: Job, sample: int, text: str) -> int | None:
    """Where the last word of a take ends that has a time; None without lyric timing."""
    try:
        path = services.artifacts.path(job.id, alignment_name(sample))
        times = from_json(path.read_text(encoding="utf-8"))
    except (ArtifactNotFound, FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if times.text != text:
        return None
    sung = [word for word in times.words if word.start_sec is not None]
    return sung[-1].first_character + len(sung[-1].text) if sung else 0


def _next_text(card: ModelCard, job: Job, text: str, sung_end: int, next_sec: float) -> str | None:
    """What is left of the text in the windows that a `continue` would draw; None if it cannot."""
    top = job.plan[Level.TOP.label]
    duration_sec = job.duration_sec + next_sec
    request = job.request.model_copy(
        update={"song_duration_seconds": None, "levels": ("top",), "lyrics": job.lyrics}
    )
    try:
        complete = complete_request(request, card.config, duration_sec, job)
        planned = plan_request(
            complete,
            card.config,
            duration_sec=duration_sec,
            prompt_tokens={Level.TOP: top.output_tokens},
        )
    except SongError:
        return None
    if card.tokenizer is None:
        return None
    windows = window_lyrics(card.tokenizer, planned.plan, job.lyrics)
    first = min((window.first_character for window in windows), default=0)
    end = max((window.first_character + len(window.text) for window in windows), default=0)
    return text[max(first, sung_end) : end].strip()


@router.get(
    "/models/{name}/lyrics-preview",
    operation_id="previewLyrics",
    summary="Preview the lyrics",
    tags=["models"],
    responses=problems(404),
)
def preview_lyrics(
    name: ModelName, query: Annotated[PreviewQuery, Query()], services: ServicesDep
) -> LyricsView:
    """Returns what `GET /jobs/{id}/lyrics` would return for a song, without creating a job.

    `words` tells which words fit into the generated part, and `seconds_needed` how long it would
    have to be for all of them.
    """
    card = card_of(services.catalog, name)
    try:
        text = read_lyrics(query.lyrics, query.lyrics_format).text
        request = JobRequest(
            model="preview",
            artist="",
            genre="",
            lyrics=text,
            song_duration_seconds=query.song_duration_seconds,
            offset_seconds=query.offset_seconds,
            seed=0,
        )
        duration_sec = query.duration_seconds
        complete = complete_request(request, card.config, duration_sec, None)
        planned = plan_request(complete, card.config, duration_sec=duration_sec, prompt_tokens={})
        return _view(card, planned)
    except LabelError as error:
        raise invalid_field("query", ["lyrics"], str(error)) from error
    except SongError as error:
        raise invalid_field("query", request_field(error), request_sentence(error)) from error


def _view(card: ModelCard, planned: PlannedSong, song_spans: Sequence[SongSpan] = ()) -> LyricsView:
    lyrics = planned.song.lyrics
    text = None if card.tokenizer is None else card.tokenizer.lyrics_as_read(lyrics)
    if card.tokenizer is None or text is None:
        return LyricsView(
            text=None,
            paced_text=None,
            windows=[],
            words=[],
            seconds_needed=None,
            sung=None,
            left=None,
            next=None,
        )
    words = paced_words(text, planned.plan, card.config.time_base.sample_rate_hz)
    spans = [(_label_span(card.config, span), span.lyrics) for span in song_spans]
    windows = window_lyrics(card.tokenizer, planned.plan, lyrics, spans)
    return LyricsView(
        text=text,
        paced_text=paced_lyrics(text, planned.plan),
        windows=[
            LyricsWindowView(
                start_seconds=round(window.start_sec, 3),
                end_seconds=round(window.end_sec, 3),
                first_character=window.first_character,
                text=window.text,
            )
            for window in windows
        ],
        words=[
            LyricsWordView(
                text=word.text,
                first_character=word.first_character,
                start_seconds=round(word.start_sec, 3),
                end_seconds=round(word.end_sec, 3),
                fits=word.fits,
            )
            for word in words
        ],
        seconds_needed=round(max(words[-1].end_sec, 0.0), 3) if words else 0.0,
        sung=None,
        left=None,
        next=None,
    )


def _label_span(config: JukeboxConfig, span: SongSpan) -> LabelSpan:
    """Where a span lies in its imagined song; its labels are not needed here."""
    return make_span(
        config,
        (),
        start_samples=config.time_base.seconds_to_samples(span.position_sec),
        song_duration_sec=span.song_duration_sec,
        offset_sec=span.offset_sec,
    )
