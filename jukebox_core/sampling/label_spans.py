"""What priors are told about a song whose parts come from different songs.

Each part keeps the labels of its source, and its place in the song that its source was imagined in.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.labels import SongLabels
from jukebox_core.sampling.limits import whole_song_samples
from jukebox_core.sampling.song_plan import SongTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpan:
    """What holds from sample `start_samples` of a song on, until the next span begins.

    `channels` has labels for top, middle and bottom: of all channels, or of each one, which differ
    below the top alone. `timing.offset_samples` is where the song itself would
    begin for this span to be in its place; it may lie before the beginning of the imagined song.
    """

    start_samples: int
    channels: tuple[tuple[SongLabels, ...], ...]
    timing: SongTiming

    def timing_for(self, prior_config: JukeboxPriorConfig, start_token: int) -> SongTiming:
        """The timing for a window that begins at `start_token` of the song.

        A window may reach into the part before, and begin outside the imagined song; priors know
        only places inside, so it is told the nearest of these.
        """
        total_samples = self.timing.total_samples
        window_samples = start_token * prior_config.samples_per_token
        latest = total_samples - 1
        if prior_config.labels is not None:
            known_samples = int(prior_config.labels.max_duration_sec * prior_config.sample_rate_hz)
            latest = min(latest, known_samples - prior_config.context_samples)
        place = min(max(self.timing.offset_samples + window_samples, 0), max(latest, 0))
        return SongTiming(total_samples=total_samples, offset_samples=place - window_samples)


def make_span(
    config: JukeboxConfig,
    channels: tuple[tuple[SongLabels, ...], ...],
    *,
    start_samples: int,
    song_duration_sec: float,
    offset_sec: float,
) -> LabelSpan:
    """A span in seconds of the imagined song; the song's length is kept inside the model's range.

    `offset_sec` may be negative, see `LabelSpan`.
    """
    return LabelSpan(
        start_samples=start_samples,
        channels=channels,
        timing=SongTiming(
            total_samples=whole_song_samples(config, song_duration_sec),
            offset_samples=math.floor(offset_sec * config.time_base.sample_rate_hz + 0.5),
        ),
    )


def span_at(spans: Sequence[LabelSpan], sample: int) -> LabelSpan:
    """The span that holds at an audio sample of the song; `spans` are in order, the first at 0."""
    starts = [span.start_samples for span in spans]
    return spans[max(bisect_right(starts, sample) - 1, 0)]
