"""What a client may ask for: the body of `POST /jobs`, shape and bounds only.

Whether a model can sing it is decided where models are known (`api/admission.py`). Types are
strict: `"10"` is no number and `true` no count, so that a client's mistake shows at once.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

LevelName = Literal["top", "middle", "bottom"]
AudioFormat = Literal["wav", "flac", "ogg", "mp3"]

LEVEL_NAMES: tuple[LevelName, ...] = ("top", "middle", "bottom")
MAX_LYRICS_CHARACTERS = 20_000
MAX_SAMPLES = 16
MAX_SEED = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly."""


class LevelSampling(BaseModel):
    """How one level is drawn; what is absent takes the model's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    temperature: Annotated[float, Field(gt=0.0, le=10.0, examples=[0.98])] = 0.99
    top_k: Annotated[int, Field(ge=0, le=1_000_000, description="0 keeps every code")] = 0
    top_p: Annotated[float, Field(ge=0.0, le=1.0, description="0 keeps every code")] = 0.0
    hop_fraction: Annotated[
        float | None,
        Field(gt=0.0, le=1.0, description="Part of each window that is new in a long song"),
    ] = None


class SamplingRequest(BaseModel):
    """Sampling settings per level."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    top: LevelSampling = LevelSampling()
    middle: LevelSampling = LevelSampling()
    bottom: LevelSampling = LevelSampling()


class JobRequest(BaseModel):
    """One song to sing.

    `seed` and `song_duration_seconds` are filled in at admission when absent, so that the stored
    request always names them.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "model": "tiny",
                    "artist": "The Sawtooths",
                    "genre": "drone",
                    "lyrics": "Hello, hello, is anybody there?",
                    "duration_seconds": 10,
                    "seed": 7,
                }
            ]
        },
    )

    model: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    artist: Annotated[str, Field(max_length=200)]
    genre: Annotated[str, Field(max_length=200)]
    lyrics: Annotated[str, Field(max_length=MAX_LYRICS_CHARACTERS)] = ""
    duration_seconds: Annotated[float, Field(gt=0.0, le=600.0)]
    song_duration_seconds: Annotated[
        float | None,
        Field(gt=0.0, le=600.0, description="Length of the whole imagined song: paces the lyrics"),
    ] = None
    offset_seconds: Annotated[
        float, Field(ge=0.0, le=600.0, description="Where in that song the drawn part begins")
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

    @field_validator("levels")
    @classmethod
    def _levels_start_at_the_top(cls, levels: tuple[LevelName, ...]) -> tuple[LevelName, ...]:
        if levels != LEVEL_NAMES[: len(levels)]:
            raise ValueError(
                'levels must be ["top"], ["top", "middle"] or ["top", "middle", "bottom"]'
            )
        return levels
