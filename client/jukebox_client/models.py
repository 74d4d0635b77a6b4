"""The documents of the service; `client/generate.py` writes them from its OpenAPI one.

Choices are open (`Literal[...] | str`): a newer service may know more of them.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from pydantic import AwareDatetime, Field

from jukebox_client.documents import Document, absent


class LevelSampling(Document):
    """How one level is sampled; omitted fields take the model's defaults."""

    temperature: float | None = None
    top_k: int | None = None
    """0 disables it"""
    top_p: float | None = None
    """0 disables it"""
    hop_fraction: float | None = None
    """Fraction of each window that is new in a long song"""


class SamplingRequest(Document):
    """Sampling settings per level."""

    top: LevelSampling | None = None
    middle: LevelSampling | None = None
    bottom: LevelSampling | None = None


class StereoGenres(Document):
    """Genres for the levels below the top, one for each channel of a stereo song."""

    left: str | None = None
    """null: the genre of the song"""
    right: str | None = None
    """null: the genre of the song"""


class AncestralBody(Document):
    """A song from nothing."""

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    mode: Literal["ancestral"] | str | None = None
    model: str = absent()
    duration_seconds: float = absent()


class AnnotationChanges(Document):
    """What `PATCH /jobs/{id}` takes: any of it; null or empty clears a field."""

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""


class AssetUrls(Document):
    """The URLs of an asset."""

    self: str = absent()


class Asset(Document):
    """An uploaded file. Fields that do not apply to its kind are null."""

    object: Literal["asset"] | str = absent()
    id: str = absent()
    kind: Literal["audio", "codes"] | str = absent()
    format: str = absent()
    """`wav`, `aiff`, `flac`, `ogg`, `mp3`, `mp4`, `aac`, `webm` or `safetensors`"""
    sha256: str = absent()
    """SHA-256 of the file as sent"""
    bytes: int = absent()
    """Size of the file as sent"""
    stored_bytes: int = absent()
    """Space used on the service's disk"""
    created_at: AwareDatetime = absent()
    expires_at: AwareDatetime | None = absent()
    """When the asset is deleted; jobs have a copy"""
    duration_seconds: float | None = absent()
    sample_rate_hz: int | None = absent()
    channels: int | None = absent()
    """Of the sound, which jobs mix down to mono, or of the codes (2 for stereo)"""
    num_samples: int | None = absent()
    """Number of songs in a file of codes"""
    tokens: dict[str, int] | None = absent()
    """Tokens per song at each level"""
    model: str | None = absent()
    """The model of the codes, if the file names it"""
    urls: AssetUrls = absent()


class AudioPrompt(Document):
    """The recording that a song starts with, or a part of it."""

    asset_id: str = absent()
    """A sound uploaded with `POST /assets`"""
    start_seconds: float | None = None
    """Where the prompt starts in the recording"""
    seconds: float | None = None
    """Length of the prompt; null: to the end of the recording"""


Bits = Literal[8, 16] | int
"""Bits of each value that is written."""


class CodesPrompt(Document):
    """Codes to use instead of those of a parent."""

    asset_id: str = absent()
    """Codes uploaded with `POST /assets`"""


class ContinueBody(Document):
    """An extension of an existing song."""

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    prompt: CodesPrompt | None = None
    """Codes from `POST /assets`, instead of a parent"""
    parent_id: str | None = None
    """The job to start from"""
    model: str | None = None
    sample: int | None = None
    """The take to start from; null: each take separately"""
    cut_seconds: float | None = None
    """How much of it to keep; null: all"""
    mode: Literal["continue"] | str = absent()
    duration_seconds: float = absent()
    """The length to add"""


class Disk(Document):
    """The disk of the data folder."""

    free_bytes: int = absent()
    total_bytes: int = absent()
    reserved_bytes: int = absent()
    """With less free than this, requests that need space return 507"""


JobStatus = (
    Literal["queued", "running", "canceling", "succeeded", "failed", "canceled", "expired"] | str
)
"""Where a job stands. `canceling` is running with the wish to stop."""

Stage = Literal["top", "middle", "bottom", "render"] | str
"""One Celery task of a job: a level to draw, or the finish."""


class LevelProgress(Document):
    """Progress of one level. Tokens are per sample; windows are counted once on disk."""

    level: Literal["top", "middle", "bottom"] | str = absent()
    tokens_done: int = absent()
    tokens_total: int = absent()
    windows_done: int = absent()
    windows_total: int = absent()


class Progress(Document):
    """Progress of a job. `value` increases from 0 to 1 and never decreases."""

    value: float = absent()
    level: Literal["top", "middle", "bottom"] | str | None = absent()
    """The level in progress, or the next one"""
    levels: list[LevelProgress] = Field(default_factory=list)


class Section(Document):
    """The part of its parent that a `redo` generates again."""

    start_seconds: float = absent()
    """Moved to the nearest border of two top-level tokens"""
    end_seconds: float = absent()
    """Moved to the nearest border of two top-level tokens"""
    margin_seconds: float = absent()
    """Codes and audio further away than this from the section are the parent's"""


class Part(Document):
    """A part of a spliced song; all times are borders of tokens of the top level."""

    source: str = absent()
    """The job or asset"""
    sample: int = absent()
    start_seconds: float = absent()
    """Where the part starts in its source"""
    end_seconds: float = absent()
    position_seconds: float = absent()
    """Where the part starts in this song"""
    artist: str | None = absent()
    """null where the source itself has several"""
    genre: str | None = absent()


class Output(Document):
    """An audio file that can be downloaded."""

    level: Literal["top", "middle", "bottom"] | str = absent()
    sample: int = absent()
    url: str = absent()
    signed_url: str | None = absent()
    """The same file without a key; see `urls.signed`"""
    format: str = absent()
    duration_seconds: float = absent()
    sample_rate_hz: int = absent()
    channels: int = absent()
    """1, or 2 if the job asked for stereo"""
    bytes: int = absent()
    sha256: str = absent()


class JobWarning(Document):
    """A likely mistake in the request, which does not prevent acceptance."""

    code: str = absent()
    pointer: str = absent()
    """The field, as a JSON pointer"""
    detail: str = absent()


class LevelMetrics(Document):
    """Time and speed of a finished level."""

    seconds: float = absent()
    tokens_per_second: float = absent()


class Metrics(Document):
    """Measured times of a job."""

    queue_seconds: float | None = absent()
    levels: dict[str, LevelMetrics] = Field(default_factory=dict)


class JobFailure(Document):
    """Why a job failed."""

    code: str = absent()
    message: str = absent()
    retryable: bool = absent()


class SignedUrls(Document):
    """URLs that do not need a key, for page elements that cannot send headers.

    Each is valid for its resource of this job until `expires_at`, or until the key is
    revoked. Parameters can be appended, such as `&level=top`.
    """

    audio: str = absent()
    live: str = absent()
    codes: str = absent()
    alignment: str = absent()
    events: str = absent()
    peaks: str = absent()
    spectrogram: str = absent()
    archive: str = absent()
    expires_at: AwareDatetime = absent()


class JobUrls(Document):
    """The URLs of a job's resources."""

    self: str = absent()
    events: str = absent()
    cancel: str = absent()
    retry: str = absent()
    pin: str = absent()
    audio: str = absent()
    live: str = absent()
    codes: str = absent()
    alignment: str = absent()
    lyrics: str = absent()
    children: str = absent()
    peaks: str = absent()
    spectrogram: str = absent()
    archive: str = absent()
    signed: SignedUrls | None = absent()
    """null if no key is needed, or if the key lacks the scope `read`"""


class SplicePart(Document):
    """A stretch of a song, and what it is sung as, if that is to differ from its source."""

    source: str = absent()
    """A job that has ended, or an asset of codes"""
    sample: int | None = None
    """The take of the source"""
    start_seconds: float | None = None
    """Where the part starts in the source"""
    end_seconds: float | None = None
    """Where it ends; null: at the end of the source"""
    artist_id: int | dict[str, int] | None = None
    genre_ids: list[int] | dict[str, list[int]] | None = None
    artist: str | None = None
    """null: that of the source"""
    genre: str | None = None
    """null: that of the source"""
    lyrics: str | None = None
    """The words that are sung in this part; null: the source's, at their place"""


class JobRequest(Document):
    """A request for one song, in any mode.

    Complete: what the client left out is filled in at admission, from the parent if there is
    one. `duration_seconds` keeps the meaning that it has in its mode; `Job.duration_sec` is
    the whole length. With raw ids (`artist_id`, `genre_ids`) the name in their place may be
    empty.
    """

    lyrics: str = absent()
    lyrics_format: Literal["plain"] | str = absent()
    """Nothing is removed from `lyrics`"""
    song_duration_seconds: float | None = absent()
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float = absent()
    """Where the generated part starts in the full song"""
    num_samples: int = absent()
    seed: int | None = absent()
    sampling: SamplingRequest = absent()
    levels: list[Literal["top", "middle", "bottom"] | str] = Field(default_factory=list)
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str = absent()
    speed: Literal["exact", "parallel"] | str = absent()
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int = absent()
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = absent()
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = absent()
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = absent()
    webhook_events: list[
        Literal[
            "job.running",
            "job.output",
            "job.succeeded",
            "job.failed",
            "job.canceled",
            "job.expired",
        ]
        | str
    ] = Field(default_factory=list)
    """Events to send; by default those that end a job"""
    mode: Literal["ancestral", "primed", "continue", "upsample", "splice", "redo"] | str = absent()
    model: str = absent()
    artist: str = absent()
    genre: str = absent()
    artist_id: int | dict[str, int] | None = absent()
    genre_ids: list[int] | dict[str, list[int]] | None = absent()
    duration_seconds: float | None = absent()
    """ancestral, primed: the full length; continue: the length to add"""
    prompt: AudioPrompt | CodesPrompt | None = absent()
    parent_id: str | None = absent()
    sample: int | None = absent()
    cut_seconds: float | None = absent()
    parts: list[SplicePart] | None = absent()
    mend_seconds: float | None = absent()
    start_seconds: float | None = absent()
    """redo: where the section starts"""
    end_seconds: float | None = absent()
    """redo: where it ends; null: with the song"""


class Job(Document):
    """A job as its owner sees it."""

    object: Literal["job"] | str = absent()
    id: str = absent()
    status: JobStatus = absent()
    stage: Stage = absent()
    created_at: AwareDatetime = absent()
    started_at: AwareDatetime | None = absent()
    completed_at: AwareDatetime | None = absent()
    expires_at: AwareDatetime | None = absent()
    """When the job is deleted; null while it runs"""
    codes_expire_at: AwareDatetime | None = absent()
    """When its codes are deleted, if earlier"""
    deleted_at: AwareDatetime | None = absent()
    """Since when the job is in the trash, until `expires_at`"""
    pinned: bool = absent()
    """Whether the job is exempt from expiration"""
    deadline_at: AwareDatetime | None = absent()
    """When the job fails unless it has ended"""
    title: str | None = absent()
    """What the song is called"""
    tags: list[str] = Field(default_factory=list)
    favorite: bool = absent()
    notes: str | None = absent()
    metadata: dict[str, str] = Field(default_factory=dict)
    """The client's own names and values"""
    queue_position: int | None = absent()
    """Number of jobs ahead of it; null if not queued"""
    eta_seconds: float | None = absent()
    """Estimated seconds to the end; null if unknown"""
    progress: Progress = absent()
    duration_seconds: float = absent()
    """Full length, in every mode"""
    section: Section | None = absent()
    """With `redo`: the part generated again"""
    parent_id: str | None = absent()
    """The job that this job was derived from; of several, the first"""
    parent_ids: list[str] = Field(default_factory=list)
    """All jobs that it was derived from directly"""
    parts: list[Part] | None = absent()
    """What a `splice` was put together from; null in other modes"""
    root_id: str = absent()
    """The first ancestor; the job's own id without a parent"""
    owner: str | None = absent()
    """Id of its API key; null if no key is needed"""
    outputs: list[Output] = Field(default_factory=list)
    """Grows as levels finish"""
    labels: dict[str, Any] = Field(default_factory=dict)
    """What artist and genre resolved to, per level"""
    lyrics_as_read: str | None = absent()
    """The text that the model reads, up to 20,000 characters; null if it does not use lyrics"""
    warnings: list[JobWarning] = Field(default_factory=list)
    """Likely mistakes in the request"""
    seed: int = absent()
    attempt: int = absent()
    """Increases when a worker crashes while running the job"""
    metrics: Metrics = absent()
    error: JobFailure | None = absent()
    urls: JobUrls = absent()
    input: JobRequest = absent()
    """The complete request, with defaults"""


class FeedChanged(Document):
    """Fields changed that are not part of what is generated, such as the title."""

    job_id: str = absent()
    job: Job | None = absent()
    """The job now; null if it has been deleted since"""
    fields: list[str] = Field(default_factory=list)


class FeedCreated(Document):
    """A job was created."""

    job_id: str = absent()
    job: Job | None = absent()
    """The job now; null if it has been deleted since"""


class FeedDeleted(Document):
    """A job was deleted, or has expired."""

    job_id: str = absent()


class FeedOutput(Document):
    """An audio file of a job can be downloaded."""

    job_id: str = absent()
    job: Job | None = absent()
    """The job now; null if it has been deleted since"""
    level: Literal["top", "middle", "bottom"] | str = absent()
    sample: int = absent()


class LevelTokens(Document):
    """What a level has done: tokens per sample, windows on disk."""

    tokens_done: int = absent()
    windows_done: int = absent()


class FeedProgress(Document):
    """Progress of a job; without the whole job."""

    value: float = absent()
    level: Literal["top", "middle", "bottom"] | str | None = absent()
    """The level in progress"""
    eta_seconds: float | None = absent()
    """Estimated seconds to the end; null if unknown"""
    levels: dict[str, LevelTokens] = Field(default_factory=dict)
    """The levels that have begun"""
    job_id: str = absent()


class FeedReset(Document):
    """Load your list of jobs now: everything that happens from now on follows."""

    reason: Literal["connected", "past_not_kept"] | str = absent()
    """`connected`: the stream begins; `past_not_kept`: events after `Last-Event-ID` are lost"""


class FeedStage(Document):
    """A level of a job is finished and the next stage begins."""

    job_id: str = absent()
    job: Job | None = absent()
    """The job now; null if it has been deleted since"""
    stage: Stage = absent()


class FeedStatus(Document):
    """The status of a job changed, or a worker claimed or returned it."""

    job_id: str = absent()
    job: Job | None = absent()
    """The job now; null if it has been deleted since"""
    status: JobStatus = absent()
    stage: Stage = absent()


class FieldError(Document):
    """One thing that is wrong with a request."""

    in_: Literal["body", "query", "path", "header"] | str = absent("in")
    """Which part of the request the pointer looks into"""
    pointer: str = absent()
    """JSON pointer (RFC 6901), e.g. /sampling/top/hop_fraction"""
    detail: str = absent()


class Health(Document):
    """The process or service is available."""

    status: Literal["ok"] | str = absent()


class JobList(Document):
    """A page of jobs."""

    object: Literal["list"] | str = absent()
    data: list[Job] = Field(default_factory=list)
    has_more: bool = absent()
    next_cursor: str | None = absent()
    total: int | None = absent()
    """Number of jobs that pass the filters; null if too many have to be looked at"""


LiveFormat = Literal["wav", "ogg"] | str
"""The formats of a stream."""


class LyricsWindow(Document):
    """The lyrics that the model reads for one window."""

    start_seconds: float = absent()
    """Start of the window, relative to the generated part"""
    end_seconds: float = absent()
    first_character: int = absent()
    """Position in the text where its part starts"""
    text: str = absent()


class LyricsWord(Document):
    """A word of the lyrics, and when it would be sung at the planned pace."""

    text: str = absent()
    first_character: int = absent()
    start_seconds: float = absent()
    """Relative to the generated part"""
    end_seconds: float = absent()
    fits: bool = absent()
    """Whether it lies within the generated part"""


class Lyrics(Document):
    """Lyrics as a model reads them."""

    object: Literal["lyrics"] | str = absent()
    text: str | None = absent()
    """The whole text, in the model's alphabet; null if it does not use lyrics"""
    paced_text: str | None = absent()
    """The part sung in the generated part if spread evenly over the full song"""
    windows: list[LyricsWindow] = Field(default_factory=list)
    words: list[LyricsWord] = Field(default_factory=list)
    """At the pace that the model is told: evenly over the full song, but no faster than people
    sing
    """
    seconds_needed: float | None = absent()
    """Length of the generated part in which all words fit at that pace"""
    sung: str | None = absent()
    """The text up to the last word that the take has sung; null without lyric timing"""
    left: str | None = absent()
    """The rest of the text"""
    next: str | None = absent()
    """What a `continue` of `next_seconds` would read of the rest; null if the song cannot be
    that long
    """


ModelState = Literal["absent", "pulling", "ready", "broken"] | str
"""Whether a model can sing: `PULLING` while it is fetched, `BROKEN` when it cannot be read."""


class ModelLevel(Document):
    """One level of a model."""

    level: Literal["top", "middle", "bottom"] | str = absent()
    tokens_per_second: float = absent()
    context_tokens: int = absent()
    context_seconds: float = absent()
    samples_per_token: int = absent()
    label_version: str | None = absent()
    default_hop_fraction: float = absent()


class ModelLimits(Document):
    """Limits of a model: of the generated part, and of the full song that it is a part of."""

    min_duration_seconds: float = absent()
    """Of the generated part"""
    max_duration_seconds: float = absent()
    min_song_duration_seconds: float = absent()
    max_song_duration_seconds: float = absent()


class Model(Document):
    """A model. Jobs can use it if it is ready. The operator can download absent models.

    For an absent or pulling model, the fields describe the model that will be installed. A
    broken model has only a name and an `error`.
    """

    object: Literal["model"] | str = absent()
    name: str = absent()
    state: ModelState = absent()
    """`pulling`: being downloaded; `broken`: its files cannot be read"""
    description: str = absent()
    licence: str = absent()
    sample_rate_hz: int | None = absent()
    """null for a broken model, like `limits`"""
    reads_lyrics: bool = absent()
    levels: list[ModelLevel] = Field(default_factory=list)
    limits: ModelLimits | None = absent()
    bytes: int = absent()
    memory_bytes: int | None = absent()
    """Memory that it takes at most; null while no worker can say"""
    estimated_seconds_per_second_of_music: float | None = absent()
    """Seconds that the workers take for one second of one take, as they measured it in a few
    steps or in songs; null until known
    """
    estimated_seconds_per_second_in_parallel: float | None = absent()
    """The same for songs with `speed: parallel`"""
    error: str | None = absent()
    """Why the model is broken"""


class ModelInMemory(Document):
    """A model that a worker holds in memory."""

    name: str = absent()
    memory_bytes: int = absent()
    """Of its weights that are loaded and its windows"""
    idle_since: AwareDatetime | None = absent()
    """Null while something is generated with it"""


class ModelList(Document):
    """All models, ready ones first."""

    object: Literal["list"] | str = absent()
    data: list[Model] = Field(default_factory=list)


class Name(Document):
    """An artist or genre that a model knows."""

    name: str = absent()
    """The name to use in a request"""
    ids: dict[str, list[int]] = Field(default_factory=dict)
    """Ids for each level: several if the level reads a genre word by word, none if it does not
    know the name
    """
    score: float = absent()
    """Similarity to the text, 1 for an exact match"""


class NameList(Document):
    """Names by similarity to the text, best first; without a text, all names in order."""

    object: Literal["list"] | str = absent()
    data: list[Name] = Field(default_factory=list)


class OutputEvent(Document):
    """An audio file can be downloaded; `job.outputs` has it."""

    level: Literal["top", "middle", "bottom"] | str = absent()
    sample: int = absent()
    job: Job = absent()


class Peaks(Document):
    """The JSON format of audiowaveform."""

    version: Literal[2] | int = absent()
    channels: int = absent()
    sample_rate: int = absent()
    """In Hz"""
    samples_per_pixel: int = absent()
    """Samples of a channel that each pair covers"""
    bits: Literal[8, 16] | int = absent()
    length: int = absent()
    """Number of pairs per channel"""
    data: list[int] = Field(default_factory=list)
    """Lowest and highest value by turns; at each position all channels in order"""


class PrimedBody(Document):
    """A song that starts with a recording, which is kept."""

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    mode: Literal["primed"] | str = absent()
    model: str = absent()
    prompt: AudioPrompt = absent()
    duration_seconds: float = absent()
    """Full length, including the prompt"""


class ProgressEvent(Document):
    """Progress of a job; the one event without the whole job."""

    value: float = absent()
    level: Literal["top", "middle", "bottom"] | str | None = absent()
    """The level in progress"""
    eta_seconds: float | None = absent()
    """Estimated seconds to the end; null if unknown"""
    levels: dict[str, LevelTokens] = Field(default_factory=dict)
    """The levels that have begun"""


class RedoBody(Document):
    """A section of a song, generated again. What is before and behind it stays as it is.

    `lyrics` are those of the section. Without any, the song keeps its own; with
    `[Instrumental]`, nothing is sung there.
    """

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    prompt: CodesPrompt | None = None
    """Codes from `POST /assets`, instead of a parent"""
    parent_id: str | None = None
    """The job to start from"""
    model: str | None = None
    sample: int | None = None
    """The take to start from; null: each take separately"""
    mode: Literal["redo"] | str = absent()
    start_seconds: float = absent()
    """Where the section starts"""
    end_seconds: float | None = None
    """Where it ends; null: with the song"""


Scope = Literal["submit", "read", "admin"] | str
"""What a key allows. `admin` allows everything, with the jobs of everybody."""


class Session(Document):
    """The caller, and the end of its session."""

    object: Literal["session"] | str = absent()
    owner: str | None = absent()
    """Id of the API key; null if no key is needed"""
    scopes: list[Scope] = Field(default_factory=list)
    expires_at: AwareDatetime | None = absent()
    """null without a session"""


class SpliceBody(Document):
    """A song put together from stretches of others.

    What is given for the whole song holds for the parts that do not have their own.
    """

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    mode: Literal["splice"] | str = absent()
    parts: list[SplicePart] = Field(default_factory=list)
    """In the order in which they are heard. Start and end are moved to the nearest border of two
    tokens of the top level
    """
    mend_seconds: float | None = None
    """Generate the levels below the top again for so long before and after each join, so that it
    is not heard; 0 leaves all codes as they are
    """
    model: str | None = None
    """null: the model of the parts, if they tell it"""


class StageEvent(Document):
    """A level is finished and the next stage begins."""

    stage: Stage = absent()
    job: Job = absent()


class StatusEvent(Document):
    """The status of a job changed."""

    status: JobStatus = absent()
    stage: Stage = absent()
    job: Job = absent()


class Worker(Document):
    """A recently seen worker."""

    name: str = absent()
    device: str = absent()
    models: list[str] = Field(default_factory=list)
    stages: list[Stage] = Field(default_factory=list)
    seen_at: AwareDatetime = absent()
    loaded_models: list[ModelInMemory] = Field(default_factory=list)
    model_setups: dict[str, str] = Field(default_factory=dict)
    """How this worker computes each model: weights, backend, threads"""
    too_large: dict[str, str] = Field(default_factory=dict)
    """Models that do not fit into the memory of this worker, with the reason"""


class SystemStatus(Document):
    """Status of the service."""

    version: str = absent()
    workers: list[Worker] = Field(default_factory=list)
    jobs: dict[str, int] = Field(default_factory=dict)
    disk: Disk | None = absent()
    """null if it cannot be read"""


class UpsampleBody(Document):
    """Finer levels for a draft. Its length is the draft's."""

    title: str | None = None
    """What the song is called"""
    tags: list[str] | None = None
    """Unique, whatever their case"""
    favorite: bool | None = None
    notes: str | None = None
    metadata: dict[str, str] | None = None
    """Your own names and values, kept as they are"""
    lyrics: str | None = None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None = None
    """What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks such as `[Verse]`;
    nothing with `plain`
    """
    song_duration_seconds: float | None = None
    """Planned length of the full song, which sets the lyric pacing"""
    offset_seconds: float | None = None
    """Where the generated part starts in the full song"""
    num_samples: int | None = None
    seed: int | None = None
    sampling: SamplingRequest | None = None
    levels: list[Literal["top", "middle", "bottom"] | str] | None = None
    """`["top"]` alone makes a draft"""
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None = None
    speed: Literal["exact", "parallel"] | str | None = None
    """`parallel` samples the levels below the top in concurrent segments and joins them: faster,
    with a different result than `exact`
    """
    channels: Literal[1, 2] | int | None = None
    """2 for stereo: the levels below the top are sampled once for each channel, from the same
    top level; a draft (`levels: ["top"]`) is the same in both
    """
    stereo_genres: StereoGenres | None = None
    """Other genres for the left and the right channel of a stereo song"""
    timeout_seconds: float | None = None
    """Time limit, counted from acceptance: a job that has not ended by then fails with
    `deadline_exceeded`; null: no limit
    """
    webhook_url: str | None = None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    ) = None
    """Events to send; by default those that end a job"""
    artist_id: int | dict[str, int] | None = None
    """Id from the model's label list, instead of `artist`; if levels use several label versions,
    e.g. `{"v2": 1170}`
    """
    genre_ids: list[int] | dict[str, list[int]] | None = None
    """Ids from the model's label list, instead of `genre`; if levels use several label versions,
    e.g. `{"v2": [3, 7]}`
    """
    artist: str | None = None
    genre: str | None = None
    prompt: CodesPrompt | None = None
    """Codes from `POST /assets`, instead of a parent"""
    parent_id: str | None = None
    """The job to start from"""
    model: str | None = None
    sample: int | None = None
    """The take to start from; null: each take separately"""
    cut_seconds: float | None = None
    """How much of it to keep; null: all"""
    mode: Literal["upsample"] | str = absent()


class WebhookUrls(Document):
    """URLs of the job and its audio: paths, unless the operator set a public URL."""

    self: str = absent()
    audio: str = absent()


class WebhookData(Document):
    """The job at the moment of the event."""

    id: str = absent()
    status: JobStatus = absent()
    stage: Stage = absent()
    level: Literal["top", "middle", "bottom"] | str | None = absent()
    """The finished level, with `job.output`"""
    error: JobFailure | None = absent()
    """The reason, with `job.failed`"""
    urls: WebhookUrls = absent()


class WebhookBody(Document):
    """The body of a message, as specified by Standard Webhooks."""

    type: (
        Literal[
            "job.running",
            "job.output",
            "job.succeeded",
            "job.failed",
            "job.canceled",
            "job.expired",
        ]
        | str
    ) = absent()
    timestamp: AwareDatetime = absent()
    """Time of the event, not of the delivery attempt"""
    data: WebhookData = absent()


class WebhookSecret(Document):
    """The secret that signs webhooks; each API key has its own."""

    object: Literal["webhook_secret"] | str = absent()
    secret: str = absent()
    previous_secret: str | None = absent()
    """Also signs, until the next rotation"""


JobBody = AncestralBody | PrimedBody | ContinueBody | UpsampleBody | SpliceBody | RedoBody
"""The body of `POST /jobs`, for each mode."""


class JobFields(TypedDict, total=False):
    """Fields of `JobBody`, of every mode."""

    title: str | None
    tags: list[str] | None
    favorite: bool | None
    notes: str | None
    metadata: dict[str, str] | None
    lyrics: str | None
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str | None
    song_duration_seconds: float | None
    offset_seconds: float | None
    num_samples: int | None
    seed: int | None
    sampling: SamplingRequest | Mapping[str, Any] | None
    levels: list[Literal["top", "middle", "bottom"] | str] | None
    audio_format: Literal["wav", "flac", "ogg", "mp3"] | str | None
    speed: Literal["exact", "parallel"] | str | None
    channels: Literal[1, 2] | int | None
    stereo_genres: StereoGenres | Mapping[str, Any] | None
    timeout_seconds: float | None
    webhook_url: str | None
    webhook_events: (
        list[
            Literal[
                "job.running",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "job.expired",
            ]
            | str
        ]
        | None
    )
    artist_id: int | dict[str, int] | None
    genre_ids: list[int] | dict[str, list[int]] | None
    artist: str | None
    genre: str | None
    mode: (
        Literal["ancestral"]
        | str
        | Literal["primed"]
        | Literal["continue"]
        | Literal["upsample"]
        | Literal["splice"]
        | Literal["redo"]
        | None
    )
    model: str | None
    duration_seconds: float
    prompt: AudioPrompt | Mapping[str, Any] | CodesPrompt | Mapping[str, Any] | None
    parent_id: str | None
    sample: int | None
    cut_seconds: float | None
    parts: list[SplicePart | Mapping[str, Any]]
    mend_seconds: float | None
    start_seconds: float
    end_seconds: float | None


class ListJobsQuery(TypedDict, total=False):
    """Parameters of `listJobs`."""

    limit: int
    cursor: str | None
    q: str | None
    status: JobStatus | None
    model: str | None
    favorite: bool | None
    tag: str | None
    artist: str | None
    genre: str | None
    root: str | None
    created_after: AwareDatetime | str | None
    created_before: AwareDatetime | str | None
    trashed: bool
    sort: Literal["-created_at", "created_at", "title"] | str


class LyricsQuery(TypedDict, total=False):
    """Parameters of `previewLyrics`."""

    lyrics: str
    lyrics_format: Literal["auto", "plain", "lrc", "srt", "vtt"] | str
    duration_seconds: float
    song_duration_seconds: float | None
    offset_seconds: float


class JobChanges(TypedDict, total=False):
    """Fields of `AnnotationChanges`."""

    title: str | None
    tags: list[str] | None
    favorite: bool | None
    notes: str | None
    metadata: dict[str, str] | None


EVENT_DATA: Mapping[str, Mapping[str, type[Document]]] = {
    "streamJobEvents": {
        "snapshot": Job,
        "status": StatusEvent,
        "stage": StageEvent,
        "output": OutputEvent,
        "progress": ProgressEvent,
    },
    "streamEvents": {
        "reset": FeedReset,
        "created": FeedCreated,
        "status": FeedStatus,
        "stage": FeedStage,
        "output": FeedOutput,
        "progress": FeedProgress,
        "changed": FeedChanged,
        "deleted": FeedDeleted,
    },
}
"""The data of each event, by operation and name."""
