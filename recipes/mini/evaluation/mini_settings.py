"""How much is measured of a model, and what comes out."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from recipes.mini.evaluation.attention import AlignedSong
from recipes.mini.evaluation.codec import CodecSettings
from recipes.mini.evaluation.listening.classifiers import JUDGE_LESSON
from recipes.mini.evaluation.listening.listener import LessonSettings
from recipes.mini.evaluation.seeds import Seeds

PARTS = ("codec", "bits", "alignment", "obedience", "lyrics", "swap")
"""What can be measured; the last three share a judge and the drawn songs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniSettings:
    """How much is measured; the defaults are those of the published figures.

    num_songs      drawn songs: every pair of genre and artist equally often
    num_swaps      of them are drawn again with one thing changed, for each of three things
    duration_sec   of drawn songs and of those that judges hear
    num_judge_songs  songs that the judge learns from
    num_unheard    songs of any length for codec, bits and alignment
    temperature    None is the library's own
    seeds          never changed but to try settings out
    """

    num_songs: int = 128
    num_swaps: int = 32
    duration_sec: float = 10.0
    num_judge_songs: int = 640
    num_unheard: int = 64
    temperature: float | None = None
    device: str = "cpu"
    parts: tuple[str, ...] = PARTS
    seeds: Seeds = field(default_factory=Seeds)
    lesson: LessonSettings = JUDGE_LESSON
    codec: CodecSettings = field(default_factory=lambda: CodecSettings(probe_levels=()))


def quick_settings() -> MiniSettings:
    """For tests: the figures mean little."""
    return MiniSettings(
        num_songs=8,
        num_swaps=2,
        duration_sec=3.0,
        num_judge_songs=16,
        num_unheard=3,
        lesson=LessonSettings(width=16, epochs=1),
        codec=CodecSettings(clip_sec=3.0, num_distances=2, probe_levels=()),
    )


@dataclass(slots=True)
class Evaluation:
    """The figures, JSON-ready, and what can be looked at and listened to.

    `sounds` are float32 [samples] under names such as `drawn-00`; `alignment` is one unheard song.
    """

    figures: dict[str, Any]
    sample_rate_hz: int
    alignment: AlignedSong | None = None
    sounds: dict[str, NDArray[Any]] = field(default_factory=dict)
