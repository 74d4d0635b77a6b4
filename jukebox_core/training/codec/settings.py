"""What one level of a VQ-VAE is trained for; no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from jukebox_core.errors import TrainingError
from jukebox_core.units import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class VQVAELevelSettings:
    """Weights of the losses of one level, and the length of what it hears at a time.

    The original: l2 1, linf 0.02, multispectral 1, and the commitment of the configuration. The
    log-magnitude loss is ours, and so is the auxiliary head (`vowel`, `pitch`, `chroma`, `artist`,
    `genre`: see `auxiliary_head.py`), which is used in training only. `chroma` is of the bass and
    of the chords.
    """

    crop_samples: int = 8192
    l1_weight: float = 0.0
    l2_weight: float = 1.0
    linf_weight: float = 0.02
    multispectral_weight: float = 1.0
    log_magnitude_weight: float = 0.0
    vowel_weight: float = 0.0
    pitch_weight: float = 0.0
    chroma_weight: float = 0.0
    artist_weight: float = 0.0
    genre_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0:
                raise TrainingError(f"{name} must not be below 0 and is {value}")

    @property
    def uses_spectrograms(self) -> bool:
        """Whether any loss needs them."""
        return bool(self.multispectral_weight or self.log_magnitude_weight)

    @property
    def uses_head(self) -> bool:
        """Whether there is an auxiliary head."""
        return any(
            (
                self.vowel_weight,
                self.pitch_weight,
                self.chroma_weight,
                self.artist_weight,
                self.genre_weight,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def default_level_settings(level: Level) -> VQVAELevelSettings:
    """Settings that suit small codecs, by what the level is for.

    The bottom is heard; the levels above it tell the ones below what to do. At a coarse hop the
    phase cannot be kept and asking for it wastes codes, so the waveform counts less the higher
    the level.
    """
    return _DEFAULTS[level]


_DEFAULTS = {
    Level.BOTTOM: VQVAELevelSettings(log_magnitude_weight=0.2),
    Level.MIDDLE: VQVAELevelSettings(l2_weight=0.5, log_magnitude_weight=0.3),
    Level.TOP: VQVAELevelSettings(
        crop_samples=16_384,
        l2_weight=0.05,
        linf_weight=0.0,
        multispectral_weight=1.0,
        log_magnitude_weight=0.5,
        vowel_weight=0.3,
        pitch_weight=0.5,
        artist_weight=0.3,
        genre_weight=0.1,
    ),
}
