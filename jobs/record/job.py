"""The job record: the one truth about a job, and the changes it allows."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.record.request import ArtistIds, GenreIds, JobRequest

_JOB_ID = re.compile(r"job_[0-9a-f]{32}", re.ASCII)


def new_job_id() -> str:
    """An id that nobody can guess, safe in URLs and file names."""
    return f"job_{secrets.token_hex(16)}"


def is_job_id(text: str) -> bool:
    """Whether `text` could have come from `new_job_id`; asked before any look-up."""
    return _JOB_ID.fullmatch(text) is not None


class JobStatus(StrEnum):
    """Where a job stands. `canceling` is running with the wish to stop."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


TERMINAL_STATUSES = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED}
)

NEXT_STATUSES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset(
        {JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.FAILED, JobStatus.EXPIRED}
    ),
    JobStatus.RUNNING: frozenset({JobStatus.CANCELING, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    # A cancel that arrives after the last code was drawn loses: the song is there.
    JobStatus.CANCELING: frozenset({JobStatus.CANCELED, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    **dict.fromkeys(TERMINAL_STATUSES, frozenset()),
    # Only at its owner's wish: what is drawn already is worth another try.
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
}


class Stage(StrEnum):
    """One Celery task of a job: a level to draw, or the finish."""

    TOP = "top"
    MIDDLE = "middle"
    BOTTOM = "bottom"
    RENDER = "render"


def stages_of(request: JobRequest) -> tuple[Stage, ...]:
    """The tasks that a request needs, in order."""
    return (*(Stage(level) for level in request.levels), Stage.RENDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlan:
    """What a level will cost; known when the job is accepted. Tokens are per sample.

    `tokens_total` is everything that the level holds at its end. The first `prompt_tokens` of it
    are kept from the prompt or the parent and never drawn again. The first `output_tokens` are the
    song; what follows only fills the context of the level below and is cut off every result.

    Where there are `infills` (`jukebox_core/sampling/infill.py`: start, end, join_end), the level
    has `given_tokens` to begin with, which are sampled again there: then `prompt_tokens` counts
    those that are not, wherever they are.

    `segments` are the cuts (`jukebox_core/sampling/segments.py`: start, begin) of a level that is
    drawn side by side; songs from before they were recorded have none.
    """

    tokens_total: int
    windows_total: int
    samples_per_token: int
    prompt_tokens: int = 0
    output_tokens: int = 0
    given_tokens: int = 0
    infills: tuple[tuple[int, int, int], ...] = ()
    segments: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        # JSON has lists.
        infills = tuple((start, end, join_end) for start, end, join_end in self.infills)
        object.__setattr__(self, "infills", infills)
        segments = tuple((start, begin) for start, begin in self.segments)
        object.__setattr__(self, "segments", segments)
        if not self.output_tokens:
            object.__setattr__(self, "output_tokens", self.tokens_total)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSection:
    """The part of a song that a `redo` samples again, and what becomes of the song's text.

    It is [start_sec, end_sec), rounded to top tokens. Codes and sound of the song are those of the
    parent where they are further away than `margin_sec`. `lyrics` is the text of the whole song as
    of now. `noise_seed` is the seed of the noise that the song was sampled with, None where nobody
    knows, and `noise_samples` the number of each take in it.
    """

    start_sec: float
    end_sec: float
    margin_sec: float
    lyrics: str = ""
    noise_seed: int | None = None
    noise_samples: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # JSON has a list.
        object.__setattr__(self, "noise_samples", tuple(self.noise_samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelProgress:
    """How far a level is. Tokens are per sample; windows count only those kept on disk."""

    tokens_done: int = 0
    windows_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesFile:
    """The new codes of one window, all samples, kept as soon as they were drawn.

    `name` is relative to the job's folder. The file holds int32 [num_samples, run_up + end -
    start]: before the codes of the song `run_up` others, which only the next window reads.
    """

    name: str
    level: str
    start: int
    end: int
    sha256: str
    num_bytes: int
    run_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SongSpan:
    """What priors are told about a song from `position_sec` on, where that is not the request's.

    The song is imagined to last `song_duration_sec`. `offset_sec` is where in it this song would
    begin for the span to be in its place; it may be negative. Where `lyrics` has words around those
    that are sung in the span, it is `own_lyrics` that has these alone. In stereo the levels below
    the top may have a genre for each channel.
    """

    position_sec: float
    artist: str
    genre: str
    artist_id: ArtistIds | None
    genre_ids: GenreIds | None
    lyrics: str
    song_duration_sec: float
    offset_sec: float
    own_lyrics: str | None = None
    left_genre: str | None = None
    right_genre: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One sound file a client can fetch."""

    name: str
    level: str
    sample: int
    duration_sec: float
    sample_rate_hz: int
    num_bytes: int
    sha256: str
    channels: int = 1


class FailureCode(StrEnum):
    """Every `code` that this release gives to a failed job; records of others may hold more."""

    TOO_MANY_CRASHES = "too_many_crashes"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE_FAILED = "storage_failed"
    ARTIFACT_LOST = "artifact_lost"
    MODEL_NOT_FOUND = "model_not_found"
    BROKEN_MODEL = "broken_model"
    MODEL_TOO_LARGE = "model_too_large"
    CODEC_CHANGED = "codec_changed"
    INVALID_SONG = "invalid_song"
    INVALID_LABELS = "invalid_labels"
    DRAWING_FAILED = "drawing_failed"
    ENCODING_FAILED = "encoding_failed"
    INTERNAL_ERROR = "internal_error"


ENDINGS: tuple[tuple[str, str], ...] = (
    (JobStatus.SUCCEEDED.value, ""),
    (JobStatus.CANCELED.value, ""),
    *((JobStatus.FAILED.value, code.value) for code in FailureCode),
)
"""Status and failure code of every possible end of a job; the labels of `jukebox_jobs_total`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, for its owner: a stable code and a sentence."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWarning:
    """What its owner may not have meant: a stable code, a field of the request, a sentence."""

    code: str
    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMetrics:
    """What a finished level took."""

    seconds: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A record as it was at one moment. Only the store changes records.

    `request` is complete: seed and song duration are filled in. `labels` says per level what each
    name resolved to. `stage` is what runs or waits to run. `fence` rises with every claim;
    `seconds_left` is what its worker forecast with its last heartbeat.
    `attempt` only when a worker died with the job, and begins anew when a failed one is retried.
    `crashes` counts the deaths since the last window that was kept. `lease_expires_at` is None
    while nobody holds it. `codes` are the kept windows: a long song has a thousand, so they are
    read only where they are needed, and None elsewhere. `codes_name` is the file with all finished
    levels. All moments are UTC.

    `duration_sec` is the whole length that is heard, whatever the mode; when it is not given, it is
    the request's. A job that goes on from another has its `parent_id`, and the `parent_sample` that
    was chosen (None: every take goes on by itself); `root_id` is the first of the line, its own id
    when it has no parent. One that was put together from several has all of them in `parent_ids`,
    the first as its `parent_id` too. What its parts are sung as is in `spans`, in order, and so it
    is for songs that go on from it; without any, everything is sung as the request says. What a job
    begins with lies in its own folder: `prompt_codes_name` is a file of `write_all_codes` with one
    row, or with one for each sample; `prompt_audio_name` a mono WAV file at the model's rate, from
    which a worker makes such codes.

    `owner` is the id of the API key that asked for it; None where nobody needed one. `step` is the
    backend of its first worker (`backends/choose.py` of the core): later ones take the same.
    `weights` are those that it was begun with, `full` or `int8` (`prior/int8_weights.py` there).

    At `deadline_at` it fails, unless it has ended. Once ended it is kept for `kept_sec`, its codes
    for `codes_kept_sec` (None: for good, and as long as the job), that is until `expires_at` and
    `codes_expire_at`; while it is `pinned` nothing of it goes.

    `title`, `tags`, `favorite`, `notes` and `metadata` are what people wrote on it
    (`jobs/record/annotations.py`): they may change at any time, whatever the status.
    With `deleted_at` it is in the trash, until `expires_at`, and can be restored.

    `lyric_joins` are the tokens of the top level at which a song was continued with the same
    lyrics: words that are sung before one are not sung behind it.

    A `redo` has a `section`, and the `lyrics` of its request are those of the section.

    When it `needs_newer_release`, it asks for something that this release does not know: it can be
    looked at, canceled and deleted, but not run.
    """

    id: str
    status: JobStatus
    request: JobRequest
    labels: Mapping[str, Any]
    plan: Mapping[str, LevelPlan]
    stage: Stage
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    attempt: int = 1
    crashes: int = 0
    fence: int = 0
    lease_expires_at: datetime | None = None
    progress_value: float = 0.0
    seconds_left: float | None = None
    progress: Mapping[str, LevelProgress] = field(default_factory=dict)
    # Read or not, it is the same record.
    codes: tuple[CodesFile, ...] | None = field(default=(), compare=False)
    codes_name: str | None = None
    outputs: tuple[Output, ...] = ()
    metrics: Mapping[str, LevelMetrics] = field(default_factory=dict)
    warnings: tuple[JobWarning, ...] = ()
    error: JobError | None = None
    worker: str | None = None
    duration_sec: float = 0.0
    parent_id: str | None = None
    root_id: str = ""
    parent_sample: int | None = None
    parent_ids: tuple[str, ...] = ()
    spans: tuple[SongSpan, ...] = ()
    lyric_joins: tuple[int, ...] = ()
    prompt_codes_name: str | None = None
    prompt_audio_name: str | None = None
    owner: str | None = None
    step: str | None = None
    weights: str | None = None
    deadline_at: datetime | None = None
    kept_sec: float | None = None
    codes_kept_sec: float | None = None
    codes_expire_at: datetime | None = None
    pinned: bool = False
    title: str | None = None
    tags: tuple[str, ...] = ()
    favorite: bool = False
    notes: str | None = None
    deleted_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    section: JobSection | None = None
    needs_newer_release: bool = False

    def __post_init__(self) -> None:
        if not self.root_id:
            object.__setattr__(self, "root_id", self.id)
        if not self.parent_ids and self.parent_id is not None:
            object.__setattr__(self, "parent_ids", (self.parent_id,))
        if not self.duration_sec:
            object.__setattr__(self, "duration_sec", self.request.duration_seconds or 0.0)

    @property
    def lyrics(self) -> str:
        """The text of the whole song."""
        return self.request.lyrics if self.section is None else self.section.lyrics

    @property
    def is_terminal(self) -> bool:
        """No worker will change it; its owner may delete it, or retry it when it failed."""
        return self.status in TERMINAL_STATUSES

    @property
    def drawn_audio_sec(self) -> float:
        """Seconds of music, of all takes and channels, of which something is drawn anew."""
        shares = (
            (1.0 - plan.prompt_tokens / plan.output_tokens) * self.channels_of(level)
            for level, plan in self.plan.items()
        )
        return self.duration_sec * self.request.num_samples * max(max(shares, default=1.0), 0.0)

    def channels_of(self, level: str) -> int:
        """Rows of codes that a level has for each take: the top is the same in both channels."""
        return 1 if level == Stage.TOP else self.request.channels

    def next_stage(self) -> Stage | None:
        """The stage after the present one; None after the last."""
        stages = stages_of(self.request)
        position = stages.index(self.stage) + 1
        return stages[position] if position < len(stages) else None

    @property
    def windows(self) -> tuple[CodesFile, ...]:
        """The windows that are kept. Raises ValueError for a record that was read without them."""
        if self.codes is None:
            raise ValueError(f"job {self.id} was read without its windows: ask for them")
        return self.codes

    def codes_of(self, level: str) -> tuple[CodesFile, ...]:
        """The kept windows of one level, in order of time."""
        return tuple(sorted((c for c in self.windows if c.level == level), key=lambda c: c.start))
