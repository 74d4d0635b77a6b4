"""The shapes of what the service answers; `api/views/views.py` fills them from records.

Null is written, never left out. Moments are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from jobs.api_keys import Scope
from jobs.files.assets import AssetKind
from jobs.record.job import JobStatus, Stage
from jobs.record.request import JobRequest, LevelName
from jobs.record.webhook_messages import WebhookEvent
from jukebox_core.models.catalog import ModelState

EXAMPLE_ID = "job_0123456789abcdef0123456789abcdef"
EXAMPLE_ASSET_ID = "asset_0123456789abcdef0123456789abcdef"


class LevelProgressView(BaseModel):
    """How far one level is; tokens are per sample, windows count those kept on disk."""

    level: LevelName
    tokens_done: int
    tokens_total: int
    windows_done: int
    windows_total: int


class ProgressView(BaseModel):
    """How far a job is. `value` runs from 0 to 1 and never goes back."""

    value: float
    level: LevelName | None = Field(description="The level being drawn or next in line")
    levels: list[LevelProgressView]


class OutputView(BaseModel):
    """One sound file that can be fetched now."""

    level: LevelName
    sample: int
    url: str
    signed_url: str | None = Field(description="The same, and needs no key; see `urls.signed`")
    format: str
    duration_seconds: float
    sample_rate_hz: int
    bytes: int
    sha256: str


class LevelMetricsView(BaseModel):
    """What a finished level took."""

    seconds: float
    tokens_per_second: float


class MetricsView(BaseModel):
    """Measured times of a job."""

    queue_seconds: float | None
    levels: dict[str, LevelMetricsView]


class WarningView(BaseModel):
    """Something that the client may not have meant; the job is accepted all the same."""

    code: str = Field(examples=["artist_unknown"])
    pointer: str = Field(description="The field, as a JSON pointer", examples=["/artist"])
    detail: str


class LyricsWindowView(BaseModel):
    """The lyrics that the model reads while it draws one window."""

    start_seconds: float = Field(description="Of the window, in the drawn part of the song")
    end_seconds: float
    first_character: int = Field(description="Where in the text its part begins")
    text: str


class LyricsView(BaseModel):
    """Lyrics as a model reads them."""

    object: Literal["lyrics"] = "lyrics"
    text: str | None = Field(
        description="All of them, in the characters that the model knows; null if it reads none"
    )
    paced_text: str | None = Field(
        description="What falls to the drawn part when they are sung evenly over the whole song"
    )
    windows: list[LyricsWindowView]


class JobErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class SignedUrls(BaseModel):
    """URLs that need no key, for elements of a page that cannot send one.

    Each is good for this resource of this job until `expires_at`, as long as the key is. More
    parameters may be added, such as `&level=top`.
    """

    audio: str
    codes: str
    alignment: str
    events: str
    expires_at: datetime


class JobUrls(BaseModel):
    """Where everything about a job is found: follow these, build none."""

    self: str
    events: str
    cancel: str
    retry: str
    pin: str
    audio: str
    codes: str
    alignment: str
    lyrics: str
    children: str
    signed: SignedUrls | None = Field(
        description="null where no key is needed, and for a key that may not read"
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
    expires_at: datetime | None = Field(description="Then it is forgotten; null before its end")
    codes_expire_at: datetime | None = Field(description="Then its codes are, if that is earlier")
    pinned: bool = Field(description="It is kept until it is unpinned")
    deadline_at: datetime | None = Field(description="Then it fails, unless it has ended")
    queue_position: int | None = Field(description="Queued jobs before it; null if not queued")
    eta_seconds: float | None = Field(description="An estimate; null before any measurement")
    progress: ProgressView
    duration_seconds: float = Field(description="Whole length, whatever the mode")
    parent_id: str | None = Field(description="The job that this one goes on from")
    root_id: str = Field(description="The first job of the line; its own id without a parent")
    owner: str | None = Field(description="Id of its API key; null where none is needed")
    outputs: list[OutputView] = Field(description="Grows as each level is finished")
    labels: dict[str, Any] = Field(description="What artist and genre resolved to, per level")
    lyrics_as_read: str | None = Field(
        description="The text that the model reads, up to 20,000 characters of it; null if it "
        "reads none"
    )
    warnings: list[WarningView] = Field(description="What may not have been meant")
    seed: int
    attempt: int = Field(description="Rises when a worker died with the job")
    metrics: MetricsView
    error: JobErrorView | None
    urls: JobUrls
    input: JobRequest = Field(description="The complete request")


class JobList(BaseModel):
    """Some jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobView]
    has_more: bool
    next_cursor: str | None


class AssetUrls(BaseModel):
    """Where an asset is found."""

    self: str


class AssetView(BaseModel):
    """A file that was sent. What its kind has no use for is null."""

    object: Literal["asset"] = "asset"
    id: str = Field(examples=[EXAMPLE_ASSET_ID])
    kind: AssetKind
    format: str = Field(
        description="`wav`, `aiff`, `flac`, `ogg`, `mp3`, `mp4`, `aac`, `webm` or `safetensors`"
    )
    sha256: str = Field(description="Of the file as it was sent")
    bytes: int = Field(description="Of the file as it was sent")
    stored_bytes: int = Field(description="What it takes on the service's disk")
    created_at: datetime
    expires_at: datetime | None = Field(description="Then it is forgotten; jobs have a copy")
    duration_seconds: float | None
    sample_rate_hz: int | None
    channels: int | None = Field(description="Of the file; it is folded to mono when it is used")
    num_samples: int | None = Field(description="Songs in a file of codes")
    tokens: dict[str, int] | None = Field(description="Codes of each level, for each song")
    model: str | None = Field(description="The model that codes belong to, if the file says so")
    urls: AssetUrls


class ModelLevelView(BaseModel):
    """One level of a model."""

    level: LevelName
    tokens_per_second: float
    context_tokens: int
    context_seconds: float
    samples_per_token: int
    label_version: str | None
    default_hop_fraction: float


class ModelLimits(BaseModel):
    """What a model can sing. The song is the whole imagined one, of which a part may be drawn."""

    min_duration_seconds: float = Field(description="Of the drawn part")
    max_duration_seconds: float
    min_song_duration_seconds: float
    max_song_duration_seconds: float


class ModelView(BaseModel):
    """One model. Jobs may name it when it is ready; absent ones can be fetched by the operator.

    Of a model that is absent or being fetched this is what it will be. Of a broken one only its
    name is known, and `error` says what is wrong with it.
    """

    object: Literal["model"] = "model"
    name: str
    state: ModelState = Field(
        description="`pulling` while it is being fetched, `broken` when its files cannot be read"
    )
    description: str
    licence: str
    sample_rate_hz: int | None = Field(description="null for a broken model, as `limits`")
    reads_lyrics: bool
    levels: list[ModelLevelView]
    limits: ModelLimits | None
    bytes: int
    error: str | None = Field(None, description="What is wrong with a broken model")


class ModelList(BaseModel):
    """All models, those that are ready first."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class NameView(BaseModel):
    """An artist or a genre that a model knows."""

    name: str = Field(description="As it may be sent in a request")
    ids: dict[LevelName, list[int]] = Field(
        description="What each level reads: several ids for a genre read word by word, none where "
        "the level does not know the name"
    )
    score: float = Field(description="1 for the name itself, less the less alike it is")


class NameList(BaseModel):
    """The names most like the text, best first; the first of all names if there was no text."""

    object: Literal["list"] = "list"
    data: list[NameView]


class WebhookSecretView(BaseModel):
    """What a receiver checks webhooks with; each API key has its own."""

    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="])
    previous_secret: str | None = Field(description="Signs too until the next change")


class WebhookUrls(BaseModel):
    """Where the job and its sound are found: paths, unless the operator set a public URL."""

    self: str
    audio: str


class WebhookData(BaseModel):
    """The job at the moment of the event."""

    id: str = Field(examples=[EXAMPLE_ID])
    status: JobStatus
    stage: Stage
    level: LevelName | None = Field(description="What became ready, with `job.output`")
    error: JobErrorView | None = Field(description="Why it failed, with `job.failed`")
    urls: WebhookUrls


class WebhookBody(BaseModel):
    """What a receiver is sent, in the form of Standard Webhooks."""

    type: WebhookEvent
    timestamp: datetime = Field(description="Of the event, not of the attempt to tell it")
    data: WebhookData


class SessionView(BaseModel):
    """Who asks, and until when a session lasts."""

    object: Literal["session"] = "session"
    owner: str | None = Field(description="Id of the API key; null where none is needed")
    scopes: list[Scope]
    expires_at: datetime | None = Field(description="null when no session shows the key")


class HealthView(BaseModel):
    """The process, or the service, is able to answer."""

    status: Literal["ok"] = "ok"


class WorkerView(BaseModel):
    """A worker heard of lately."""

    name: str
    device: str
    models: list[str]
    stages: list[Stage]
    seen_at: datetime


class SystemView(BaseModel):
    """The service at a glance."""

    version: str
    workers: list[WorkerView]
    jobs: dict[JobStatus, int]
