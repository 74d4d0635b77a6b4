"""What a prior reads besides the codes of a window: the labels, and the codes above, as tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.song_plan import SongTiming


def window_upper_codes(
    prior: JukeboxPrior, upper_codes: Tensor | None, start_token: int
) -> Tensor | None:
    """The slice of the level above under the window that starts at `start_token`.

    Args:
        prior: the prior that reads the window; at the top there is nothing above.
        upper_codes: int64 [B, T'], the whole level above.
        start_token: first token of the window; a multiple of the prior's upsampling.

    Returns:
        int64 [B, upper_context_tokens] or None at the top.
    """
    conditioner = prior.config.conditioner
    if conditioner is None or upper_codes is None:
        return None
    start = start_token // conditioner.upsampling
    return upper_codes[:, start : start + prior.config.upper_context_tokens]


def window_label_rows(
    prior: JukeboxPrior, songs: Sequence[SongLabels], timing: SongTiming, start_token: int
) -> Tensor:
    """Label vectors of the window that starts at `start_token`: int64 [B, W], on the CPU."""
    rows = [
        window_labels(
            prior.config,
            song,
            total_samples=timing.total_samples,
            offset_samples=timing.offset_samples,
            start_token=start_token,
        )
        for song in songs
    ]
    return torch.tensor(rows, dtype=torch.int64)
