"""What a label vector says about artist, genre and time, as vectors."""

import torch
from torch import Tensor, nn

from jukebox_core.config import JukeboxPriorConfig, LabelConfig

NUM_FIXED_LABELS = 4
"""Label columns before the genres: total, offset and context in samples, and the artist."""


class LabelEmbedding(nn.Module):
    """Embeds the label vectors of a batch of windows (`prior/conditioners.py` of the original).

    A label vector is int64 [total_samples, offset_samples, context_samples, artist_id, genre ids
    padded with -1 to max_genres]. Only a prior without a level above it embeds the time.
    """

    def __init__(self, config: JukeboxPriorConfig, labels: LabelConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self._num_positions = config.context_tokens
        self._min_samples = labels.min_duration_sec * config.sample_rate_hz
        self._max_samples = labels.max_duration_sec * config.sample_rate_hz
        self.genre = nn.Embedding(labels.num_genres, width)
        self.artist = nn.Embedding(labels.num_artists, width)
        self._has_exact_positions = labels.exact_positions
        self.embeds_time = config.conditioner is None
        if self.embeds_time:
            self.total_length = nn.Embedding(labels.num_time_bins, width)
            self.absolute_position = nn.Embedding(labels.num_time_bins, width)
            self.relative_position = nn.Embedding(labels.num_time_bins, width)
        for table in self.children():
            nn.init.normal_(table.get_parameter("weight"), std=0.01 * config.transformer.init_scale)

    def start(self, labels: Tensor) -> Tensor:
        """Embedding [B, C] that stands at the first position: the artist plus all genres.

        Unknown names are id 0 and count; -1 is an empty place and does not.
        """
        genres = labels[:, NUM_FIXED_LABELS:]
        named = (genres >= 0).unsqueeze(-1)
        bag = (self.genre(genres.clamp(min=0)) * named).sum(dim=1)
        start: Tensor = bag + self.artist(labels[:, NUM_FIXED_LABELS - 1])
        return start

    def time(self, labels: Tensor) -> Tensor:
        """Where in its song each of the window's tokens is, [B, context_tokens, C].

        The relative position stops at the end of the song, and the ramp towards it is compressed,
        not cut, as in the original; with `exact_positions` it is cut. Lengths and positions outside
        the trained range fall into its first or last bin; refusing them is the planner's task.
        """
        total, start, context = labels[:, :3].float().chunk(3, dim=1)
        end = start + context
        absolute = self._ramp(start, end) / self._max_samples
        if self._has_exact_positions:
            relative = self._ramp(start, end) / total
        else:
            relative = self._ramp(start / total, (end / total).clamp(0.0, 1.0))
        length = (total - self._min_samples) / (self._max_samples - self._min_samples)
        embedded: Tensor = (
            _binned(self.total_length, length)
            + _binned(self.absolute_position, absolute)
            + _binned(self.relative_position, relative)
        )
        return embedded

    def _ramp(self, start: Tensor, end: Tensor) -> Tensor:
        """From start to just before end, [B, context_tokens]."""
        steps = torch.arange(self._num_positions, dtype=torch.float32, device=start.device)
        return start + (end - start) * (steps / self._num_positions)


def _binned(table: nn.Embedding, position: Tensor) -> Tensor:
    """Embedding of positions in [0, 1)."""
    bins = (table.num_embeddings * position).floor().long()
    embedded: Tensor = table(bins.clamp(0, table.num_embeddings - 1))
    return embedded
