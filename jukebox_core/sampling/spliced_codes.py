"""Parts of songs whose codes are tensors: cut, joined, and what finer levels are sung as."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jukebox_core.channels import rows_of_level
from jukebox_core.config import JukeboxConfig
from jukebox_core.labels import Labels
from jukebox_core.sampling.label_spans import LabelSpan, make_span
from jukebox_core.sampling.options import checked_codes, lengths_of, num_channels_of
from jukebox_core.sampling.splice import SplicePlan, Stretch, plan_splice
from jukebox_core.units import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class SplicePart:
    """A stretch of a song, for `JukeboxModel.splice`.

    codes              int64 [B, T] per level, top first
    row                the take
    start_sec, end_sec the stretch; None: to the end
    labels             of the song; needed for levels that are generated
    song_duration_sec  of the whole imagined song; its codes' length when absent
    offset_sec         where in it the codes begin
    """

    codes: Sequence[Tensor]
    row: int = 0
    start_sec: float = 0.0
    end_sec: float | None = None
    labels: Labels | None = None
    song_duration_sec: float | None = None
    offset_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class Spliced:
    """The plan, the joined codes int64 [channels, T] per level, and the spans where all are known.

    Levels that not all parts have are left out.
    """

    plan: SplicePlan
    codes: list[Tensor]
    spans: tuple[LabelSpan, ...]


def splice_codes(config: JukeboxConfig, parts: Sequence[SplicePart]) -> Spliced:
    """Join parts. Raises SongError, see `plan_splice`."""
    takes = [checked_codes(config, part.codes, part.row) for part in parts]
    plan = plan_splice(
        config.time_base,
        [
            # Parts of one song may be given as the same tensors.
            Stretch(
                source=f"{id(part.codes[0])}:{part.row}",
                num_tokens=lengths_of(take),
                start_sec=part.start_sec,
                end_sec=part.end_sec,
            )
            for part, take in zip(parts, takes, strict=True)
        ],
    )
    num_channels = max(num_channels_of(take[: len(plan.levels)]) for take in takes)
    codes = [
        torch.cat(
            [
                # A mono part is the same in both channels of a stereo song.
                take[index][:, placed.tokens(config.time_base, level)].expand(
                    rows_of_level(level, 1, num_channels), -1
                )
                for take, placed in zip(takes, plan.parts, strict=True)
            ],
            dim=1,
        )
        for index, level in enumerate(plan.levels)
    ]
    return Spliced(plan, codes, _spans(config, parts, plan))


def _spans(
    config: JukeboxConfig, parts: Sequence[SplicePart], plan: SplicePlan
) -> tuple[LabelSpan, ...]:
    """What holds in each part; empty if a part does not tell."""
    time_base = config.time_base
    spans = []
    for part, placed in zip(parts, plan.parts, strict=True):
        if part.labels is None:
            return ()
        length_sec = time_base.tokens_to_seconds(part.codes[0].shape[-1], Level.TOP)
        moved_sec = time_base.tokens_to_seconds(placed.start - placed.position, Level.TOP)
        spans.append(
            make_span(
                config,
                part.labels.songs[:1],
                start_samples=time_base.tokens_to_samples(placed.position, Level.TOP),
                song_duration_sec=part.song_duration_sec or part.offset_sec + length_sec,
                offset_sec=part.offset_sec + moved_sec,
            )
        )
    return tuple(spans)
