"""What training a prior can be told beside the settings of the run; plain values, no torch."""

from dataclasses import dataclass

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import TrainingError

_SHARES = ("start_share", "end_share", "label_dropout", "upper_noise", "own_errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSettings:
    """How songs are shown to a prior, and what helps it to find the lyrics.

    start_share       share of windows that are the beginning of a song, beside the random ones
    end_share         share of windows that are the end of a song
    label_dropout     share in which the artist is forgotten; and, of its own, the genre
    upper_noise       share of the codes above that are replaced at random
    own_errors        share of the codes read so far in whose place stands what the prior drew
    guide_weight      of the loss that teaches heads of the alignment layer where the lyrics are
    guide_final       that weight after `guide_steps`; it falls evenly, and stays there
    guide_steps       0: over the whole run
    guide_next        teach a second head to look at the character after: its state has read the
                      one that is sung
    metre_weight      of the loss of a head that tells the place in the bar, where bars are known
                      and no level above tells it
    evaluation_windows  held-out windows that the figures are taken on
    freeze            parts that are not trained: names of modules, such as `conditioner`
    """

    start_share: float = 0.02
    end_share: float = 0.0
    label_dropout: float = 0.05
    upper_noise: float = 0.05
    own_errors: float = 0.0
    guide_weight: float = 1.0
    guide_final: float = 0.1
    guide_steps: int = 0
    guide_next: bool = True
    metre_weight: float = 0.5
    evaluation_windows: int = 48
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must lie in [0, 1] and is {getattr(self, name)}")
        if self.start_share + self.end_share > 1:
            raise TrainingError(
                f"start_share and end_share must be at most 1 together, and are "
                f"{self.start_share} and {self.end_share}"
            )
        for name in ("guide_weight", "guide_final", "guide_steps", "metre_weight"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} must not be negative and is {getattr(self, name)}")
        if self.evaluation_windows < 1:
            raise TrainingError(f"{self.evaluation_windows=} must be at least 1")

    def guide_weight_at(self, step: int, steps: int) -> float:
        """Weight of the guide in `step` (from 0) of a run of `steps`."""
        passed = min(step / max(self.guide_steps or steps, 1), 1.0)
        return self.guide_weight + (self.guide_final - self.guide_weight) * passed


def default_prior_settings(config: JukeboxPriorConfig) -> PriorSettings:
    """What suits a prior: every short song is sung from its beginning by the top prior."""
    return PriorSettings(start_share=0.2 if config.conditioner is None else 0.02)
