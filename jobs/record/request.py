"""What a job was asked for, complete: what is kept in the record and shown as `input`.

`jobs/record/bodies.py` has the bodies that clients may send, mode by mode. Whether a model can sing
it is decided where models are known (`api/submission/admission.py`). Types are strict: `"10"` is no
number and `true` no count, so that a client's mistake shows at once.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from jobs.record.webhook_messages import ENDINGS, WebhookEvents, WebhookUrl

LevelName = Literal["top", "middle", "bottom"]
AudioFormat = Literal["wav", "flac", "ogg", "mp3"]
Mode = Literal["ancestral", "primed", "continue", "upsample", "splice", "redo"]
Speed = Literal["exact", "parallel"]


def _no_boolean(value: Any) -> Any:  # noqa: ANN401  (whatever the client sent)
    """`true` is no count, although it equals 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("literal_error", "Input should be 1 or 2")
    return value


Channels = Annotated[Literal[1, 2], BeforeValidator(_no_boolean)]

LyricsFormat = Literal["auto", "plain", "lrc", "srt", "vtt"]

LEVEL_NAMES: tuple[LevelName, ...] = ("top", "middle", "bottom")
MAX_LYRICS_CHARACTERS = 20_000
MAX_SAMPLES = 16
MAX_SECONDS = 600.0
MAX_TIMEOUT_SECONDS = 30 * 86_400.0
MAX_PARTS = 64
MAX_MEND_SECONDS = 10.0
MAX_SEED = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly."""

ModelName = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$", examples=["mini"])
]
Name = Annotated[str, Field(max_length=200)]
RawId = Annotated[int, Field(ge=0, le=1_000_000)]
RawIds = Annotated[tuple[RawId, ...], Field(strict=False, min_length=1, max_length=16)]
LabelVersion = Literal["v2", "v3"]
ArtistIds = RawId | dict[LabelVersion, RawId]
"""Models whose levels read several label versions take an id for each, or for some of them."""
GenreIds = RawIds | dict[LabelVersion, RawIds]
Seconds = Annotated[float, Field(gt=0.0, le=MAX_SECONDS)]
SecondsFromZero = Annotated[float, Field(ge=0.0, le=MAX_SECONDS)]
JobIdText = Annotated[str, Field(pattern=r"^job_[0-9a-f]{32}$", max_length=36)]
AssetIdText = Annotated[str, Field(pattern=r"^asset_[0-9a-f]{32}$", max_length=38)]
SourceText = Annotated[str, Field(pattern=r"^(job|asset)_[0-9a-f]{32}$", max_length=38)]


class Document(BaseModel):
    """A JSON object that clients send. `null` is the same as leaving a field out, everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    _also_nullable: ClassVar[frozenset[str]] = frozenset()
    """Names without a meaning here that may come as null."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, document: Any) -> Any:  # noqa: ANN401  (whatever the client sent)
        if not isinstance(document, dict):
            return document
        known = cls.model_fields.keys() | cls._also_nullable
        return {k: v for k, v in document.items() if v is not None or k not in known}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Optional fields of a request may be null."""
        reference = handler(core_schema)
        if handler.mode == "validation":
            schema = handler.resolve_ref_schema(reference)
            properties = schema.get("properties", {})
            for name in properties.keys() - set(schema.get("required", ())):
                properties[name] = _or_null(properties[name])
        return reference


_ANNOTATIONS = ("title", "description", "default", "examples")


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        return schema
    annotations = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    return {"anyOf": [rest, null], **annotations}


class LevelSampling(Document):
    """How one level is sampled; omitted fields take the model's defaults."""

    temperature: Annotated[float, Field(gt=0.0, le=10.0, examples=[0.98])] = 0.99
    top_k: Annotated[int, Field(ge=0, le=1_000_000, description="0 disables it")] = 0
    top_p: Annotated[float, Field(ge=0.0, le=1.0, description="0 disables it")] = 0.0
    hop_fraction: Annotated[
        float | None,
        Field(gt=0.0, le=1.0, description="Fraction of each window that is new in a long song"),
    ] = None


class SamplingRequest(Document):
    """Sampling settings per level."""

    top: LevelSampling = LevelSampling()
    middle: LevelSampling = LevelSampling()
    bottom: LevelSampling = LevelSampling()


class StereoGenres(Document):
    """Genres for the levels below the top, one for each channel of a stereo song."""

    left: Annotated[Name | None, Field(description="null: the genre of the song")] = None
    right: Annotated[Name | None, Field(description="null: the genre of the song")] = None


class SongOptions(Document):
    """Options of every mode, with their defaults."""

    lyrics: Annotated[str, Field(max_length=MAX_LYRICS_CHARACTERS)] = ""
    lyrics_format: Annotated[
        LyricsFormat,
        Field(
            description="What is removed from `lyrics`: LRC, SRT or WebVTT time stamps and marks "
            "such as `[Verse]`; nothing with `plain`"
        ),
    ] = "auto"
    song_duration_seconds: Annotated[
        Seconds | None,
        Field(description="Planned length of the full song, which sets the lyric pacing"),
    ] = None
    offset_seconds: Annotated[
        SecondsFromZero, Field(description="Where the generated part starts in the full song")
    ] = 0.0
    num_samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] = 1
    seed: Annotated[int | None, Field(ge=0, le=MAX_SEED)] = None
    sampling: SamplingRequest = SamplingRequest()
    levels: Annotated[
        tuple[LevelName, ...],
        # Not strict: a JSON array is a list, and only a lax tuple takes one.
        Field(
            strict=False, min_length=1, max_length=3, description='`["top"]` alone makes a draft'
        ),
    ] = LEVEL_NAMES
    audio_format: AudioFormat = "wav"
    speed: Annotated[
        Speed,
        Field(
            description="`parallel` samples the levels below the top in concurrent segments and "
            "joins them: faster, with a different result than `exact`"
        ),
    ] = "exact"
    channels: Annotated[
        Channels,
        Field(
            description="2 for stereo: the levels below the top are sampled once for each channel, "
            'from the same top level; a draft (`levels: ["top"]`) is the same in both'
        ),
    ] = 1
    stereo_genres: Annotated[
        StereoGenres | None,
        Field(description="Other genres for the left and the right channel of a stereo song"),
    ] = None
    timeout_seconds: Annotated[
        float | None,
        Field(
            gt=0.0,
            le=MAX_TIMEOUT_SECONDS,
            description="Time limit, counted from acceptance: a job that has not ended by then "
            "fails with `deadline_exceeded`; null: no limit",
        ),
    ] = None
    webhook_url: WebhookUrl | None = None
    webhook_events: WebhookEvents = ENDINGS

    @field_validator("stereo_genres")
    @classmethod
    def _none_without_a_genre(cls, genres: StereoGenres | None) -> StereoGenres | None:
        return None if genres == StereoGenres() else genres

    @field_validator("levels")
    @classmethod
    def _levels_start_at_the_top(cls, levels: tuple[LevelName, ...]) -> tuple[LevelName, ...]:
        if levels != LEVEL_NAMES[: len(levels)]:
            raise ValueError(
                'levels must be ["top"], ["top", "middle"] or ["top", "middle", "bottom"]'
            )
        return levels


class AudioPrompt(Document):
    """The recording that a song starts with, or a part of it."""

    asset_id: Annotated[AssetIdText, Field(description="A sound uploaded with `POST /assets`")]
    start_seconds: Annotated[
        SecondsFromZero, Field(description="Where the prompt starts in the recording")
    ] = 0.0
    seconds: Annotated[
        Seconds | None, Field(description="Length of the prompt; null: to the end of the recording")
    ] = None


class CodesPrompt(Document):
    """Codes to use instead of those of a parent."""

    asset_id: Annotated[AssetIdText, Field(description="Codes uploaded with `POST /assets`")]


class SplicePart(Document):
    """A stretch of a song, and what it is sung as, if that is to differ from its source."""

    source: Annotated[SourceText, Field(description="A job that has ended, or an asset of codes")]
    sample: Annotated[int, Field(ge=0, lt=MAX_SAMPLES, description="The take of the source")] = 0
    start_seconds: Annotated[
        SecondsFromZero, Field(description="Where the part starts in the source")
    ] = 0.0
    end_seconds: Annotated[
        Seconds | None, Field(description="Where it ends; null: at the end of the source")
    ] = None
    artist_id: ArtistIds | None = None
    genre_ids: GenreIds | None = None
    artist: Annotated[Name | None, Field(description="null: that of the source")] = None
    genre: Annotated[Name | None, Field(description="null: that of the source")] = None
    lyrics: Annotated[
        str | None,
        Field(
            max_length=MAX_LYRICS_CHARACTERS,
            description="The words that are sung in this part; null: the source's, at their place",
        ),
    ] = None


MendSeconds = Annotated[
    float,
    Field(
        ge=0.0,
        le=MAX_MEND_SECONDS,
        description="Generate the levels below the top again for so long before and after each "
        "join, so that it is not heard; 0 leaves all codes as they are",
    ),
]


class JobRequest(SongOptions):
    """A request for one song, in any mode.

    Complete: what the client left out is filled in at admission, from the parent if there is one.
    `duration_seconds` keeps the meaning that it has in its mode; `Job.duration_sec` is the whole
    length. With raw ids (`artist_id`, `genre_ids`) the name in their place may be empty.
    """

    mode: Mode = "ancestral"
    # What `lyrics_format` leaves out is gone, so the request may be sent again as it is.
    lyrics_format: Annotated[
        Literal["plain"], Field(description="Nothing is removed from `lyrics`")
    ] = "plain"
    model: ModelName
    artist: Name
    genre: Name
    artist_id: ArtistIds | None = None
    genre_ids: GenreIds | None = None
    duration_seconds: Annotated[
        Seconds | None,
        Field(description="ancestral, primed: the full length; continue: the length to add"),
    ] = None
    prompt: AudioPrompt | CodesPrompt | None = None
    parent_id: JobIdText | None = None
    sample: Annotated[int | None, Field(ge=0, lt=MAX_SAMPLES)] = None
    cut_seconds: Seconds | None = None
    parts: Annotated[tuple[SplicePart, ...] | None, Field(strict=False)] = None
    mend_seconds: MendSeconds | None = None
    start_seconds: Annotated[
        SecondsFromZero | None, Field(description="redo: where the section starts")
    ] = None
    end_seconds: Annotated[
        Seconds | None, Field(description="redo: where it ends; null: with the song")
    ] = None

    @property
    def channel_genres(self) -> dict[str, str | None]:
        """The genre of each channel of a stereo song, None where it is that of the song."""
        if self.channels == 1:
            return {}
        genres = self.stereo_genres or StereoGenres()
        return {"left": genres.left, "right": genres.right}
