"""A model that generates: the path of all modes from codes that are kept to codes, and to sound."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Unpack

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from jukebox_core.alignment.attention import align_lyrics
from jukebox_core.channels import channels_of_rows, rows_of_level, spread_rows
from jukebox_core.engine.drive import LevelOrder, level_after_level
from jukebox_core.engine.level_run import LevelRun
from jukebox_core.engine.local import generate_windows
from jukebox_core.engine.overlap import finest_to_begin
from jukebox_core.engine.song_run import Codes, SongInputs, SongRun, WindowRun
from jukebox_core.labels import Labels
from jukebox_core.placed_model import PlacedModel
from jukebox_core.sampling.cascade import plan_song
from jukebox_core.sampling.infill import Infill
from jukebox_core.sampling.label_spans import LabelSpan
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.sampling.options import (
    SongOptions,
    channel_songs,
    checked_codes,
    count_rows,
    given_timings,
    lengths_of,
    num_channels_of,
    repeat_codes,
    repeat_songs,
    song_from_options,
    timings_of,
)
from jukebox_core.sampling.windows import hop_tokens
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae.streaming import iter_finished_sound

InputIds = Sequence[ArrayLike | Tensor]
"""What `tokenizer(...)["input_ids"]` gives: int64 [songs, ids] for each prior, top first."""

Infills = Mapping[Level, Sequence[Infill]]


class GeneratingModel(PlacedModel):
    """What all modes of `model.py` share, and what is made of their codes."""

    def _labels_of(self, labels: Labels | InputIds) -> Labels:
        if isinstance(labels, Labels):
            return labels
        return Labels.from_input_ids(labels, self.config)

    def _sample(
        self,
        codes: Sequence[Tensor],
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        duration_sec: float,
        infills: Infills | None = None,
        spans: Sequence[LabelSpan] = (),
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """The path of all modes: keep `codes`, sample the rest of `duration_sec` at every level.

        Args:
            codes: int64 [B, T] per level, top first; lower levels may be shorter or absent.
            labels: one song for all rows, or one each.
            n_samples: rows to make of a single song and a single row of codes.
            duration_sec: length of the result.
            infills: parts of `codes` that are sampled again.
            spans: what the parts of a spliced song are sung as.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: the model cannot sing that, or the codes do not fit it.
        """
        run = self._song_run(codes, labels, n_samples, duration_sec, options, infills, spans)
        for _ in self._windows(run, level_after_level, options):
            continue
        return [self._on_device(level.output_codes) for level in run.levels]

    def _song_run(
        self,
        codes: Sequence[Tensor],
        labels: Labels | InputIds,
        n_samples: int,
        duration_sec: float,
        options: SongOptions,
        infills: Infills | None = None,
        spans: Sequence[LabelSpan] = (),
    ) -> SongRun:
        """The song with all levels open. Raises SongError."""
        labels = self._labels_of(labels)
        kept = checked_codes(self.config, codes)
        num_rows = count_rows(n_samples, labels, kept, options)
        options.setdefault("channels", num_channels_of(kept))
        song = song_from_options(self.config, duration_sec, num_rows, options)
        done = lengths_of(kept)
        noise = options.get("noise")
        run = SongRun(
            SongInputs(
                id="song",
                config=self.config,
                plan=plan_song(self.config, song, done, padded=True, infills=infills),
                timings=timings_of(self.config, duration_sec, num_rows, options, done),
                sampling=song.sampling,
                labels=channel_songs(
                    labels, options.get("channel_labels", ()), num_rows, song.channels
                ),
                spans=spans,
                num_channels=song.channels,
                noise=CounterNoise(song.seed) if noise is None else noise,
                first_sample=options.get("first_sample", 0),
            )
        )
        for level in song.levels:
            run.open(level)
        for level, stream in zip(song.levels, kept, strict=False):
            prompt = spread_rows(
                stream.cpu().numpy(),
                num_given_takes=len(kept[0]),
                num_takes=num_rows,
                num_channels=rows_of_level(level, 1, song.channels),
            )
            run.open(level, prompt)
        return run

    def _windows(
        self, run: SongRun, order: LevelOrder, options: SongOptions
    ) -> Iterator[WindowRun]:
        """Every window of a song, once it is there."""
        return generate_windows(
            self._placed,
            run,
            order,
            device=self._device,
            backend=self.backend,
            max_batch_size=options.get("max_batch_size", 16),
            progress=options.get("progress"),
        )

    def _on_device(self, codes: Codes) -> Tensor:
        return torch.from_numpy(codes).to(self._device)

    def iter_sound(
        self,
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        codes: Sequence[Tensor] = (),
        duration_sec: float,
        **options: Unpack[SongOptions],
    ) -> Iterator[Tensor]:
        """Sing, and give the sound as it is finished: its beginning long before its end is drawn.

        The pieces put together are what `decode` makes of the codes that the other ways give. The
        levels overlap (`engine/overlap.py`), so all priors should be on the device.

        Args:
            labels: as in `ancestral_sample`.
            n_samples: as in `ancestral_sample`.
            codes: int64 [B, T] per level, top first, that the song begins with.
            duration_sec: of the whole song.
            options: see `SongOptions`; with the speed "parallel" only the whole comes early.

        Returns:
            pieces float32 [B, samples, channels] of the finest level, not clipped.

        Raises:
            SongError: the model cannot sing that.
        """
        run = self._song_run(codes, labels, n_samples, duration_sec, options)
        finest = run.levels[-1]
        pieces = iter_finished_sound(
            self.vqvae,
            finest.level,
            self._iter_codes(run, finest, options),
            finest.plan.output_tokens,
        )
        return (_by_channel(piece, run.inputs.num_takes) for piece in pieces)

    def _iter_codes(self, run: SongRun, level: LevelRun, options: SongOptions) -> Iterator[Tensor]:
        """What is there of a level, int64 [B, n]: all of it so far, whenever there is more."""
        if level.end:
            yield self._on_device(level.output_codes)
        for window in self._windows(run, finest_to_begin, options):
            if window.level is level and (level.is_done or not level.is_segmented):
                yield self._on_device(level.output_codes)

    @torch.inference_mode()
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        """Sound of the finest of the given levels.

        Args:
            codes: int64 [B, T] per level, top first, as `ancestral_sample` returns them.

        Returns:
            float32 [B, samples, channels], not clipped; one channel where there are codes of the
            top level alone.
        """
        level = COARSE_TO_FINE[len(codes) - 1]
        return _by_channel(self.vqvae.decode_chunked(codes[-1], level), len(codes[0]))

    @torch.inference_mode()
    def align(
        self,
        top_codes: Tensor,
        labels: Labels | InputIds,
        *,
        song_duration_sec: float | Sequence[float],
        offset_sec: float | Sequence[float] = 0.0,
        hop_fraction: float | None = None,
    ) -> list[Tensor]:
        """When each character is sung, from the attention of the top prior's alignment head.

        Args:
            top_codes: int64 [B, T].
            labels: what the songs were sung with.
            song_duration_sec: as in sampling, for all songs or one each.
            offset_sec: as in sampling, for all songs or one each.
            hop_fraction: distance of the windows; the prior's own default when absent.

        Returns:
            float32 [T, characters] per song.

        Raises:
            SamplingError: the top prior has no alignment head.
            SongError: the hop is none that the prior can make.
        """
        prior = self.prior(Level.TOP)
        hop = hop_tokens(prior.config, hop_fraction, 1)
        labels = self._labels_of(labels)
        options = SongOptions(song_duration_sec=song_duration_sec, offset_sec=offset_sec)
        num_rows = count_rows(1, labels, [top_codes], options)
        (rows,) = repeat_codes([top_codes], num_rows)
        songs = repeat_songs(labels, num_rows)
        return [
            align_lyrics(prior, rows[row], songs[row][0], timing, hop)
            for row, timing in enumerate(given_timings(self.config.time_base, options, num_rows))
        ]


def _by_channel(sound: Tensor, num_takes: int) -> Tensor:
    """Float32 [rows, samples, 1] of a level -> [takes, samples, channels]."""
    if len(sound) == num_takes:
        return sound
    num_channels = channels_of_rows(len(sound), num_takes)
    return torch.cat(sound.chunk(num_channels), dim=2)
