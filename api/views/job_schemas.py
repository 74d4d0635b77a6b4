"""The shapes of jobs and of what belongs to a song; `api/views/views.py` fills them from records.

Null is written, never left out. Moments are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from jobs.record.job import JobStatus, Stage
from jobs.record.request import JobRequest, LevelName

EXAMPLE_ID = "job_0123456789abcdef0123456789abcdef"


class LevelProgressView(BaseModel):
    """Progress of one level. Tokens are per sample; windows are counted once on disk."""

    level: LevelName
    tokens_done: int
    tokens_total: int
    windows_done: int
    windows_total: int


class ProgressView(BaseModel):
    """Progress of a job. `value` increases from 0 to 1 and never decreases."""

    value: float
    level: LevelName | None = Field(description="The level in progress, or the next one")
    levels: list[LevelProgressView]


class OutputView(BaseModel):
    """An audio file that can be downloaded."""

    level: LevelName
    sample: int
    url: str
    signed_url: str | None = Field(description="The same file without a key; see `urls.signed`")
    format: str
    duration_seconds: float
    sample_rate_hz: int
    channels: int = Field(description="1, or 2 if the job asked for stereo")
    bytes: int
    sha256: str


class PeaksView(BaseModel):
    """The JSON format of audiowaveform."""

    version: Literal[2]
    channels: int
    sample_rate: int = Field(description="In Hz")
    samples_per_pixel: int = Field(description="Samples of a channel that each pair covers")
    bits: Literal[8, 16]
    length: int = Field(description="Number of pairs per channel")
    data: list[int] = Field(
        description="Lowest and highest value by turns; at each position all channels in order"
    )


class LevelMetricsView(BaseModel):
    """Time and speed of a finished level."""

    seconds: float
    tokens_per_second: float


class MetricsView(BaseModel):
    """Measured times of a job."""

    queue_seconds: float | None
    levels: dict[str, LevelMetricsView]


class WarningView(BaseModel):
    """A likely mistake in the request, which does not prevent acceptance."""

    code: str = Field(examples=["artist_unknown"])
    pointer: str = Field(description="The field, as a JSON pointer", examples=["/artist"])
    detail: str


class LyricsWindowView(BaseModel):
    """The lyrics that the model reads for one window."""

    start_seconds: float = Field(description="Start of the window, relative to the generated part")
    end_seconds: float
    first_character: int = Field(description="Position in the text where its part starts")
    text: str


class LyricsWordView(BaseModel):
    """A word of the lyrics, and when it would be sung at the planned pace."""

    text: str
    first_character: int
    start_seconds: float = Field(description="Relative to the generated part")
    end_seconds: float
    fits: bool = Field(description="Whether it lies within the generated part")


class LyricsView(BaseModel):
    """Lyrics as a model reads them."""

    object: Literal["lyrics"] = "lyrics"
    text: str | None = Field(
        description="The whole text, in the model's alphabet; null if it does not use lyrics"
    )
    paced_text: str | None = Field(
        description="The part sung in the generated part if spread evenly over the full song"
    )
    windows: list[LyricsWindowView]
    words: list[LyricsWordView] = Field(
        description="At the pace that the model is told: evenly over the full song, but no faster "
        "than people sing"
    )
    seconds_needed: float | None = Field(
        description="Length of the generated part in which all words fit at that pace"
    )
    sung: str | None = Field(
        description="The text up to the last word that the take has sung; null without lyric timing"
    )
    left: str | None = Field(description="The rest of the text")
    next: str | None = Field(
        description="What a `continue` of `next_seconds` would read of the rest; null if the song "
        "cannot be that long"
    )


class PartView(BaseModel):
    """A part of a spliced song; all times are borders of tokens of the top level."""

    source: str = Field(description="The job or asset", examples=[EXAMPLE_ID])
    sample: int
    start_seconds: float = Field(description="Where the part starts in its source")
    end_seconds: float
    position_seconds: float = Field(description="Where the part starts in this song")
    artist: str | None = Field(description="null where the source itself has several")
    genre: str | None


class SectionView(BaseModel):
    """The part of its parent that a `redo` generates again."""

    start_seconds: float = Field(description="Moved to the nearest border of two top-level tokens")
    end_seconds: float = Field(description="Moved to the nearest border of two top-level tokens")
    margin_seconds: float = Field(
        description="Codes and audio further away than this from the section are the parent's"
    )


class JobErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class SignedUrls(BaseModel):
    """URLs that do not need a key, for page elements that cannot send headers.

    Each is valid for its resource of this job until `expires_at`, or until the key is revoked.
    Parameters can be appended, such as `&level=top`.
    """

    audio: str
    live: str
    codes: str
    alignment: str
    events: str
    peaks: str
    spectrogram: str
    archive: str
    expires_at: datetime


class JobUrls(BaseModel):
    """The URLs of a job's resources."""

    self: str
    events: str
    cancel: str
    retry: str
    pin: str
    audio: str
    live: str
    codes: str
    alignment: str
    lyrics: str
    children: str
    peaks: str
    spectrogram: str
    archive: str
    signed: SignedUrls | None = Field(
        description="null if no key is needed, or if the key lacks the scope `read`"
    )


class JobView(BaseModel):
    """A job as its owner sees it."""

    object: Literal["job"] = "job"
    id: str = Field(examples=[EXAMPLE_ID])
    status: JobStatus
    stage: Stage
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None = Field(description="When the job is deleted; null while it runs")
    codes_expire_at: datetime | None = Field(description="When its codes are deleted, if earlier")
    deleted_at: datetime | None = Field(
        description="Since when the job is in the trash, until `expires_at`"
    )
    pinned: bool = Field(description="Whether the job is exempt from expiration")
    deadline_at: datetime | None = Field(description="When the job fails unless it has ended")
    title: str | None = Field(description="What the song is called")
    tags: list[str]
    favorite: bool
    notes: str | None
    metadata: dict[str, str] = Field(description="The client's own names and values")
    queue_position: int | None = Field(description="Number of jobs ahead of it; null if not queued")
    eta_seconds: float | None = Field(description="Estimated seconds to the end; null if unknown")
    progress: ProgressView
    duration_seconds: float = Field(description="Full length, in every mode")
    section: SectionView | None = Field(description="With `redo`: the part generated again")
    parent_id: str | None = Field(
        description="The job that this job was derived from; of several, the first"
    )
    parent_ids: list[str] = Field(description="All jobs that it was derived from directly")
    parts: list[PartView] | None = Field(
        description="What a `splice` was put together from; null in other modes"
    )
    root_id: str = Field(description="The first ancestor; the job's own id without a parent")
    owner: str | None = Field(description="Id of its API key; null if no key is needed")
    outputs: list[OutputView] = Field(description="Grows as levels finish")
    labels: dict[str, Any] = Field(description="What artist and genre resolved to, per level")
    lyrics_as_read: str | None = Field(
        description="The text that the model reads, up to 20,000 characters; null if it does "
        "not use lyrics"
    )
    warnings: list[WarningView] = Field(description="Likely mistakes in the request")
    seed: int
    attempt: int = Field(description="Increases when a worker crashes while running the job")
    metrics: MetricsView
    error: JobErrorView | None
    urls: JobUrls
    input: JobRequest = Field(description="The complete request, with defaults")


class JobList(BaseModel):
    """A page of jobs."""

    object: Literal["list"] = "list"
    data: list[JobView]
    has_more: bool
    next_cursor: str | None
    total: int | None = Field(
        description="Number of jobs that pass the filters; null if too many have to be looked at"
    )
