"""The shapes of what the service answers beside jobs: assets, models, webhooks, its own state.

Null is written, never left out. Moments are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.views.job_schemas import EXAMPLE_ID, JobErrorView
from jobs.api_keys import Scope
from jobs.files.assets import AssetKind
from jobs.record.job import JobStatus, Stage
from jobs.record.request import LevelName
from jobs.record.webhook_messages import WebhookEvent
from jukebox_core.models.catalog import ModelState

EXAMPLE_ASSET_ID = "asset_0123456789abcdef0123456789abcdef"


class AssetUrls(BaseModel):
    """The URLs of an asset."""

    self: str


class AssetView(BaseModel):
    """An uploaded file. Fields that do not apply to its kind are null."""

    object: Literal["asset"] = "asset"
    id: str = Field(examples=[EXAMPLE_ASSET_ID])
    kind: AssetKind
    format: str = Field(
        description="`wav`, `aiff`, `flac`, `ogg`, `mp3`, `mp4`, `aac`, `webm` or `safetensors`"
    )
    sha256: str = Field(description="SHA-256 of the file as sent")
    bytes: int = Field(description="Size of the file as sent")
    stored_bytes: int = Field(description="Space used on the service's disk")
    created_at: datetime
    expires_at: datetime | None = Field(description="When the asset is deleted; jobs have a copy")
    duration_seconds: float | None
    sample_rate_hz: int | None
    channels: int | None = Field(
        description="Of the sound, which jobs mix down to mono, or of the codes (2 for stereo)"
    )
    num_samples: int | None = Field(description="Number of songs in a file of codes")
    tokens: dict[str, int] | None = Field(description="Tokens per song at each level")
    model: str | None = Field(description="The model of the codes, if the file names it")
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
    """Limits of a model: of the generated part, and of the full song that it is a part of."""

    min_duration_seconds: float = Field(description="Of the generated part")
    max_duration_seconds: float
    min_song_duration_seconds: float
    max_song_duration_seconds: float


class ModelView(BaseModel):
    """A model. Jobs can use it if it is ready. The operator can download absent models.

    For an absent or pulling model, the fields describe the model that will be installed. A broken
    model has only a name and an `error`.
    """

    object: Literal["model"] = "model"
    name: str
    state: ModelState = Field(
        description="`pulling`: being downloaded; `broken`: its files cannot be read"
    )
    description: str
    licence: str
    sample_rate_hz: int | None = Field(description="null for a broken model, like `limits`")
    reads_lyrics: bool
    levels: list[ModelLevelView]
    limits: ModelLimits | None
    bytes: int
    memory_bytes: int | None = Field(
        None, description="Memory that it takes at most; null while no worker can say"
    )
    estimated_seconds_per_second_of_music: float | None = Field(
        None,
        description="Seconds that the workers take for one second of one take, as they measured it "
        "in a few steps or in songs; null until known",
    )
    estimated_seconds_per_second_in_parallel: float | None = Field(
        None, description="The same for songs with `speed: parallel`"
    )
    error: str | None = Field(None, description="Why the model is broken")


class ModelList(BaseModel):
    """All models, ready ones first."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class NameView(BaseModel):
    """An artist or genre that a model knows."""

    name: str = Field(description="The name to use in a request")
    ids: dict[LevelName, list[int]] = Field(
        description="Ids for each level: several if the level reads a genre word by word, none if "
        "it does not know the name"
    )
    score: float = Field(description="Similarity to the text, 1 for an exact match")


class NameList(BaseModel):
    """Names by similarity to the text, best first; without a text, all names in order."""

    object: Literal["list"] = "list"
    data: list[NameView]


class WebhookSecretView(BaseModel):
    """The secret that signs webhooks; each API key has its own."""

    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="])
    previous_secret: str | None = Field(description="Also signs, until the next rotation")


class WebhookUrls(BaseModel):
    """URLs of the job and its audio: paths, unless the operator set a public URL."""

    self: str
    audio: str


class WebhookData(BaseModel):
    """The job at the moment of the event."""

    id: str = Field(examples=[EXAMPLE_ID])
    status: JobStatus
    stage: Stage
    level: LevelName | None = Field(description="The finished level, with `job.output`")
    error: JobErrorView | None = Field(description="The reason, with `job.failed`")
    urls: WebhookUrls


class WebhookBody(BaseModel):
    """The body of a message, as specified by Standard Webhooks."""

    type: WebhookEvent
    timestamp: datetime = Field(description="Time of the event, not of the delivery attempt")
    data: WebhookData


class SessionView(BaseModel):
    """The caller, and the end of its session."""

    object: Literal["session"] = "session"
    owner: str | None = Field(description="Id of the API key; null if no key is needed")
    scopes: list[Scope]
    expires_at: datetime | None = Field(description="null without a session")


class HealthView(BaseModel):
    """The process or service is available."""

    status: Literal["ok"] = "ok"


class ModelInMemoryView(BaseModel):
    """A model that a worker holds in memory."""

    name: str
    memory_bytes: int = Field(description="Of its weights that are loaded and its windows")
    idle_since: datetime | None = Field(description="Null while something is generated with it")


class WorkerView(BaseModel):
    """A recently seen worker."""

    name: str
    device: str
    models: list[str]
    stages: list[Stage]
    seen_at: datetime
    loaded_models: list[ModelInMemoryView]
    model_setups: dict[str, str] = Field(
        description="How this worker computes each model: weights, backend, threads"
    )
    too_large: dict[str, str] = Field(
        description="Models that do not fit into the memory of this worker, with the reason"
    )


class DiskView(BaseModel):
    """The disk of the data folder."""

    free_bytes: int
    total_bytes: int
    reserved_bytes: int = Field(
        description="With less free than this, requests that need space return 507"
    )


class SystemView(BaseModel):
    """Status of the service."""

    version: str
    workers: list[WorkerView]
    jobs: dict[JobStatus, int]
    disk: DiskView | None = Field(description="null if it cannot be read")
