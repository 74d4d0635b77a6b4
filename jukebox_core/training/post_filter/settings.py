"""What a post-filter is trained on, and for; plain values, no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from jukebox_core.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PostFilterSettings:
    """Which sound the filter hears, and how its errors count.

    pieces              of songs, from one place of each
    piece_sec           length of one
    drawn_share         share of examples whose bottom codes the prior drew, under true codes of the
                        middle level; the others are the decoder's rendering of true codes. 0 needs
                        no prior
    crop_samples        of one example
    waveform_weight     mean |difference| / mean |x|
    convergence_weight  norm of the difference of magnitudes / norm of the true ones
    log_magnitude_weight  mean difference of the logarithms of magnitudes
    mel_weight          the same of mel bands
    """

    pieces: int = 48
    piece_sec: float = 8.0
    drawn_share: float = 0.7
    crop_samples: int = 32_768
    waveform_weight: float = 0.2
    convergence_weight: float = 0.5
    log_magnitude_weight: float = 1.0
    mel_weight: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0:
                raise TrainingError(f"{name} must not be below 0 and is {value}")
        if self.pieces < 2:
            raise TrainingError(f"{self.pieces=}: one piece to learn from and one to measure with")
        if self.drawn_share > 1:
            raise TrainingError(f"{self.drawn_share=} is a share, at most 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
