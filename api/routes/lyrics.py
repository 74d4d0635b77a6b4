"""The lyrics of a song as its model reads them, whole and for each window."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.dependencies import JobId, ServicesDep
from api.routes.models import ModelName, card_of
from api.submission.admission import request_field
from api.views.openapi import problems
from api.views.schemas import LyricsView, LyricsWindowView
from api.web.errors import invalid_field
from jobs.record.request import JobRequest, LyricsFormat, Seconds, SecondsFromZero
from jobs.record.songs import PlannedSong, complete_request, plan_job, plan_request
from jukebox_core.errors import LabelError, SongError
from jukebox_core.labels import read_lyrics
from jukebox_core.models.catalog import ModelCard
from jukebox_core.sampling.window_lyrics import paced_lyrics, window_lyrics

router = APIRouter()

_MAX_PREVIEW_CHARACTERS = 8_000


class PreviewQuery(BaseModel):
    """The lyrics and the song; the fields are those of `POST /jobs`."""

    model_config = ConfigDict(extra="forbid")

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
def get_lyrics(job_id: JobId, services: ServicesDep) -> LyricsView:
    """Returns the text in the model's alphabet and the part of it that each window reads.

    `windows` is empty if no level that the job generates reads lyrics.
    """
    job = services.store.get(job_id)
    card = card_of(services.catalog, job.request.model)
    return _view(card, plan_job(job, card.config))


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
    """Returns what `GET /jobs/{id}/lyrics` would return for a song, without creating a job."""
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
        raise invalid_field("query", request_field(error), str(error)) from error


def _view(card: ModelCard, planned: PlannedSong) -> LyricsView:
    lyrics = planned.song.lyrics
    text = None if card.tokenizer is None else card.tokenizer.lyrics_as_read(lyrics)
    if card.tokenizer is None or text is None:
        return LyricsView(text=None, paced_text=None, windows=[])
    windows = window_lyrics(card.tokenizer, planned.plan, lyrics)
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
    )
