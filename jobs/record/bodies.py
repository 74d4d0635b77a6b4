"""The body of `POST /jobs`: one shape for each mode, so that each says what it needs and forbids.

Fields omitted from a `continue`, an `upsample` or a part of a `splice` are inherited from the job
that is named.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from jobs.record.annotations import Annotations
from jobs.record.request import (
    MAX_LYRICS_CHARACTERS,
    MAX_PARTS,
    MAX_SAMPLES,
    ArtistIds,
    AudioPrompt,
    CodesPrompt,
    GenreIds,
    JobIdText,
    JobRequest,
    MendSeconds,
    Mode,
    ModelName,
    Name,
    Seconds,
    SecondsFromZero,
    SongOptions,
    SplicePart,
)

_BACK = ("backward", "backwards", "back", "left", "before")
_FRONT = ("front", "start", "beginning", "intro")

MODES: tuple[Mode, ...] = get_args(Mode)
BACKWARD_MODES = frozenset(
    {
        *("prepend", "prefix", "intro", "backward", "backwards", "reverse"),
        *(f"{verb}_{where}" for verb in ("extend", "continue") for where in (*_BACK, *_FRONT)),
    }
)
"""What people call a mode that there cannot be: one that goes on before the beginning."""


class JobOptions(SongOptions, Annotations):
    """Options of every mode, and what people write on the job."""


class _Labelled(JobOptions):
    """Artist and genre by name or by raw id. The ids come first, so that the names can see them."""

    _needs_labels: ClassVar[bool] = True
    # `input` of a job can be sent again: there, what a mode does not use is null.
    _also_nullable: ClassVar[frozenset[str]] = frozenset(JobRequest.model_fields)

    artist_id: Annotated[
        ArtistIds | None,
        Field(
            description="Id from the model's label list, instead of `artist`; if levels use "
            'several label versions, e.g. `{"v2": 1170}`'
        ),
    ] = None
    genre_ids: Annotated[
        GenreIds | None,
        Field(
            description="Ids from the model's label list, instead of `genre`; if levels use "
            'several label versions, e.g. `{"v2": [3, 7]}`'
        ),
    ] = None
    artist: Annotated[Name | None, Field(validate_default=True, examples=["orlavane"])] = None
    genre: Annotated[Name | None, Field(validate_default=True, examples=["tidedub"])] = None

    @field_validator("artist", "genre")
    @classmethod
    def _name_or_raw_id(cls, name: str | None, info: ValidationInfo) -> str | None:
        ids = {"artist": "artist_id", "genre": "genre_ids"}[str(info.field_name)]
        if ids not in info.data:
            return name
        # An id for some label versions leaves the name in force for the others.
        if info.data[ids] is not None and not isinstance(info.data[ids], dict) and name:
            raise PydanticCustomError(
                "name_and_id", "give a name here or {ids}, not both", {"ids": ids}
            )
        if info.data[ids] is None and name is None and cls._needs_labels:
            raise PydanticCustomError("missing", "Field required")
        return name


class AncestralBody(_Labelled):
    """A song from nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "mini",
                    "artist": "orlavane",
                    "genre": "tidedub",
                    "lyrics": "Hello, hello, is anybody there?",
                    "duration_seconds": 10,
                    "seed": 7,
                }
            ]
        }
    )

    mode: Literal["ancestral"] = "ancestral"
    model: ModelName
    duration_seconds: Annotated[Seconds, Field(examples=[10])]


class PrimedBody(_Labelled):
    """A song that starts with a recording, which is kept."""

    mode: Literal["primed"]
    model: ModelName
    prompt: AudioPrompt
    duration_seconds: Annotated[Seconds, Field(description="Full length, including the prompt")]


class _FromCodes(_Labelled):
    """Starts from the codes of a job or of an uploaded file."""

    _needs_labels: ClassVar[bool] = False

    prompt: Annotated[
        CodesPrompt | None, Field(description="Codes from `POST /assets`, instead of a parent")
    ] = None
    parent_id: Annotated[
        JobIdText | None, Field(validate_default=True, description="The job to start from")
    ] = None
    model: ModelName | None = None
    sample: Annotated[
        int | None,
        Field(
            ge=0, lt=MAX_SAMPLES, description="The take to start from; null: each take separately"
        ),
    ] = None

    @field_validator("parent_id")
    @classmethod
    def _one_origin(cls, parent_id: str | None, info: ValidationInfo) -> str | None:
        if "prompt" not in info.data:
            return parent_id
        if parent_id is None and info.data["prompt"] is None:
            raise PydanticCustomError(
                "no_origin", "name a job here, or an asset of codes in prompt.asset_id"
            )
        if parent_id is not None and info.data["prompt"] is not None:
            raise PydanticCustomError("two_origins", "give parent_id or prompt, not both")
        return parent_id


class _FromBeginning(_FromCodes):
    """Keeps the beginning, and generates what follows."""

    cut_seconds: Annotated[
        Seconds | None, Field(description="How much of it to keep; null: all")
    ] = None


class ContinueBody(_FromBeginning):
    """An extension of an existing song."""

    mode: Literal["continue"]
    duration_seconds: Annotated[Seconds, Field(description="The length to add")]


class UpsampleBody(_FromBeginning):
    """Finer levels for a draft. Its length is the draft's."""

    mode: Literal["upsample"]


class SpliceBody(_Labelled):
    """A song put together from stretches of others.

    What is given for the whole song holds for the parts that do not have their own.
    """

    _needs_labels: ClassVar[bool] = False

    mode: Literal["splice"]
    parts: Annotated[
        tuple[SplicePart, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=MAX_PARTS,
            description="In the order in which they are heard. Start and end are moved to the "
            "nearest border of two tokens of the top level",
        ),
    ]
    mend_seconds: MendSeconds = 0.0
    model: Annotated[
        ModelName | None, Field(description="null: the model of the parts, if they tell it")
    ] = None

    @field_validator("parts")
    @classmethod
    def _lyrics_of_one_song(cls, parts: tuple[SplicePart, ...]) -> tuple[SplicePart, ...]:
        num_characters = sum(len(part.lyrics or "") for part in parts)
        if num_characters > MAX_LYRICS_CHARACTERS:
            raise PydanticCustomError(
                "long_lyrics",
                "the lyrics of all parts have {found} characters, and at most {limit} are taken",
                {"found": num_characters, "limit": MAX_LYRICS_CHARACTERS},
            )
        return parts


class RedoBody(_FromCodes):
    """A section of a song, generated again. What is before and behind it stays as it is.

    `lyrics` are those of the section. Without any, the song keeps its own; with
    `[Instrumental]`, nothing is sung there.
    """

    mode: Literal["redo"]
    start_seconds: Annotated[
        SecondsFromZero, Field(description="Where the section starts", examples=[10])
    ]
    end_seconds: Annotated[
        Seconds | None,
        Field(description="Where it ends; null: with the song", examples=[18]),
    ] = None


FromCodesBody = ContinueBody | UpsampleBody | RedoBody
"""What starts from a job or from codes."""

AnyBody = AncestralBody | PrimedBody | FromCodesBody | SpliceBody


def _mode_of(body: Any) -> str:  # noqa: ANN401  (whatever the client sent)
    mode = body.get("mode") if isinstance(body, dict) else None
    if mode is None:
        return "ancestral"
    return mode if isinstance(mode, str) else repr(mode)[:100]


JobBody = Annotated[
    Annotated[AncestralBody, Tag("ancestral")]
    | Annotated[PrimedBody, Tag("primed")]
    | Annotated[ContinueBody, Tag("continue")]
    | Annotated[UpsampleBody, Tag("upsample")]
    | Annotated[SpliceBody, Tag("splice")]
    | Annotated[RedoBody, Tag("redo")],
    Discriminator(_mode_of),
]
"""Any of them, selected by `mode`, which defaults to `ancestral`."""
