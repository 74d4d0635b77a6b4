"""Do tensors fit a prior? Each function raises ValueError for a shape that does not."""

from torch import Tensor

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.prior.label_embedding import NUM_FIXED_LABELS


def check_conditioning(
    config: JukeboxPriorConfig, labels: Tensor, upper_codes: Tensor | None
) -> None:
    """Labels [B, W] and upper codes [B, n] must be as wide as the prior reads them."""
    width = NUM_FIXED_LABELS + config.labels.max_genres if config.labels is not None else 0
    width += config.lyrics.num_tokens if config.lyrics is not None else 0
    if labels.ndim != 2 or labels.shape[1] != width:
        raise ValueError(f"labels must be [B, {width}] for this prior, not {tuple(labels.shape)}")
    found = 0 if upper_codes is None else upper_codes.shape[-1]
    if found != config.upper_context_tokens:
        raise ValueError(
            f"a window of the {config.level.label} prior needs {config.upper_context_tokens} "
            f"codes of the level above, and got {found}"
        )


def check_windows(config: JukeboxPriorConfig, codes: Tensor) -> None:
    """Codes [B, n] must fill a window."""
    if codes.shape[1] != config.context_tokens:
        raise ValueError(f"a window holds {config.context_tokens} codes, and got {codes.shape[1]}")


def check_beginnings(config: JukeboxPriorConfig, codes: Tensor) -> None:
    """Codes [B, n] must be the beginning of a window, or all of it."""
    if not 1 <= codes.shape[1] <= config.context_tokens:
        raise ValueError(
            f"a window holds 1 to {config.context_tokens} codes, and got {codes.shape[1]}"
        )
