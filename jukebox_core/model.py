"""The public door: a whole Jukebox, from words to sound."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, Unpack, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from jukebox_core.alignment.attention import align_lyrics
from jukebox_core.backends.choose import AUTO as AUTO_BACKEND
from jukebox_core.backends.choose import REFERENCE, Target, choose_backend
from jukebox_core.casts import Conversion, device_only, requested_dtype
from jukebox_core.channels import channels_of_rows, rows_of_level, spread_rows
from jukebox_core.checkpoints import LoadedParts, load_directory, load_openai, save_directory
from jukebox_core.checkpoints.load import read_directory_config, stored_weights
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.engine.drive import LevelOrder, level_after_level
from jukebox_core.engine.level_run import LevelRun
from jukebox_core.engine.local import generate_windows
from jukebox_core.engine.overlap import finest_to_begin
from jukebox_core.engine.song_run import Codes, SongInputs, SongRun, WindowRun
from jukebox_core.errors import ConfigError, LabelError, SongError
from jukebox_core.labels import JukeboxTokenizer, Labels
from jukebox_core.models.catalog import locate_model
from jukebox_core.models.placed_priors import PlacedPriors, decide_placement, home_device
from jukebox_core.models.placement import AUTO, Placement
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.cascade import plan_song
from jukebox_core.sampling.infill import Infill, section_infills, section_tokens
from jukebox_core.sampling.kept import cut_tokens
from jukebox_core.sampling.label_spans import LabelSpan
from jukebox_core.sampling.noise import CounterNoise, SectionNoise
from jukebox_core.sampling.options import (
    SongOptions,
    channel_songs,
    checked_codes,
    count_rows,
    given_timings,
    lengths_of,
    levels_of,
    num_channels_of,
    repeat_codes,
    repeat_songs,
    song_from_options,
    timings_of,
    whole_tokens,
)
from jukebox_core.sampling.splice import mend_infills
from jukebox_core.sampling.spliced_codes import SplicePart, splice_codes
from jukebox_core.sampling.windows import hop_tokens
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.streaming import iter_finished_sound

InputIds = Sequence[ArrayLike | Tensor]
"""What `tokenizer(...)["input_ids"]` gives: int64 [songs, ids] for each prior, top first."""

Infills = Mapping[Level, Sequence[Infill]]


class JukeboxModel(nn.Module):
    """The VQ-VAE and its three priors.

    ```python
    model = JukeboxModel.from_pretrained("models/tiny")
    labels = model.tokenizer("The Sawtooths", "drone", "Hello, hello")
    codes = model.ancestral_sample(labels, duration_sec=2.0, seed=7)
    audio = model.decode(codes)
    ```

    `priors[0]` is the top, as in the Hugging Face documentation; `prior(level)` asks by name, and
    brings the prior to the device first where not all have room there (see `Placement`).
    `tokenizer` is None when the model came without label lists.
    """

    def __init__(
        self,
        parts: LoadedParts,
        *,
        device: torch.device | str | None = None,
        placement: Placement = Placement.RESIDENT,
    ) -> None:
        super().__init__()
        self.config: JukeboxConfig = parts.config
        self.vqvae: JukeboxVQVAE = parts.vqvae
        self.priors = nn.ModuleList(parts.priors)
        if placement is not Placement.RESIDENT:
            self.vqvae.to(device)
        self._placed = PlacedPriors(
            self._loaded_prior, device=torch.device(device or "cpu"), placement=placement
        )
        self._tokenizer: JukeboxTokenizer | None = parts.tokenizer
        self.backend = self._wanted_backend = REFERENCE
        """What computes the tokens, see `use_backend`."""

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        weights: Weights | str = Weights.FULL,
        placement: Placement | str = AUTO,
        backend: str = AUTO_BACKEND,
    ) -> Self:
        """Load a directory in our own format or in that of transformers 4.

        Args:
            directory: see `docs/guides/models.md` for its files; or `mini`, which is bundled.
            device: where the weights go.
            dtype: of the transformer stacks and their caches; by default float32 on the CPU and
                float16 elsewhere. What the original keeps in float32 stays so.
            weights: "full", or "int8", which keeps those of the stacks as int8
                (`prior/int8_weights.py`): a quarter of float32 in memory, computed with in `dtype`.
                Those of a directory that has int8 ones stay so with either.
            placement: "resident", "one_at_a_time" or "offloaded"; "auto" takes the first of them
                for which `device` has enough free memory now.
            backend: what computes the tokens, see `use_backend`.

        Raises:
            CheckpointError: tensors are unknown, missing or misshapen, or the files are not there.
            ConfigError: the configuration is broken, or there is no such placement, weights or
                backend.
        """
        if weights not in list(Weights):
            raise ConfigError(f"weights {weights!r} are not known: {', '.join(Weights)}")
        directory = locate_model(directory)
        is_int8 = Weights.INT8 in (weights, stored_weights(directory))
        chosen = decide_placement(
            read_directory_config(directory),
            device=torch.device(device),
            dtype=dtype or default_dtype(device),
            int8_weights=is_int8,
            wanted=placement,
        )
        home = home_device(chosen, torch.device(device))
        parts = load_directory(
            directory,
            device=home,
            dtype=dtype or default_dtype(device),
            weights=Weights(weights),
        )
        model = cls(parts, device=device, placement=chosen)
        model.use_backend(backend)
        return model

    @classmethod
    def from_openai(
        cls,
        config: JukeboxConfig,
        *,
        vqvae: str | Path,
        top: str | Path,
        middle: str | Path,
        bottom: str | Path,
        labels_dir: str | Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load the original's `.pth.tar` files; `labels_dir` holds its four label lists.

        Raises:
            CheckpointError: tensors are unknown, missing or misshapen, or a file is not there.
        """
        parts = load_openai(
            config,
            vqvae=Path(vqvae),
            priors={
                Level.TOP: Path(top),
                Level.MIDDLE: Path(middle),
                Level.BOTTOM: Path(bottom),
            },
            labels_dir=None if labels_dir is None else Path(labels_dir),
            device=device,
            dtype=dtype or default_dtype(device),
        )
        return cls(parts)

    def use_backend(self, wanted: str = AUTO_BACKEND) -> str:
        """Choose what computes the tokens of all priors; returns its name.

        All give the same numbers up to rounding, so a song may differ after many tokens.

        Args:
            wanted: "torch", "native" or "triton"; "auto" takes what a worker would: the native one
                for small models in float32 on a CPU, where there is a C compiler.

        Raises:
            ConfigError: that backend cannot be used here, or there is none of that name.
        """
        target = Target(
            device_type=self._device.type,
            is_float32=cast(JukeboxPrior, self.priors[0]).compute_dtype == torch.float32,
            weights_stay=self._placed.placement is Placement.RESIDENT,
        )
        self.backend = choose_backend(self.config, target, wanted)
        self._wanted_backend = wanted
        return self.backend

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        """`.to(...)`, `.half()` and their kin: the stacks of the priors change their dtype.

        Everything around them stays float32, as with `dtype=` of `from_pretrained`, and the
        backend is chosen again.

        Raises:
            ConfigError: no stack computes in that dtype, or the weights have no fixed place.
        """
        if self._placed.placement is not Placement.RESIDENT:
            raise ConfigError(
                f"with placement {self._placed.placement.value!r} weights move by themselves: give "
                "device= and dtype= to from_pretrained instead of moving or casting the model"
            )
        dtype = requested_dtype(fn)
        if dtype not in (None, *_COMPUTE_DTYPES):
            known = ", ".join(str(each) for each in _COMPUTE_DTYPES)
            raise ConfigError(f"the model cannot compute in {dtype}: choose one of {known}")
        convert = fn if dtype is None else device_only(fn)
        super()._apply(convert, recurse)  # type: ignore[no-untyped-call]
        if dtype is not None:
            for prior in self.priors:
                cast(JukeboxPrior, prior).set_compute_dtype(dtype)
        self.use_backend(self._wanted_backend)
        return self

    def save_pretrained(self, directory: str | Path) -> None:
        """Write our own format: `config.json`, one safetensors file per part, the label lists.

        Raises:
            CheckpointError: the weights are int8, which is nothing to keep.
        """
        self._placed.to_host()
        save_directory(
            Path(directory),
            self.config,
            self.vqvae,
            [self._placed.loaded(level) for level in COARSE_TO_FINE],
            self._tokenizer,
        )

    @property
    def tokenizer(self) -> JukeboxTokenizer:
        """Words to labels. Raises LabelError when the model came without label lists."""
        if self._tokenizer is None:
            raise LabelError(
                "this model came without label lists, so names cannot be turned into ids: "
                "load it with labels_dir=, or pass ids as SongLabels"
            )
        return self._tokenizer

    def prior(self, level: Level) -> JukeboxPrior:
        """The prior of one level, ready on the device; asking for another may take it away.

        Raises ValueError for what is no level.
        """
        return self._placed[Level(level)]

    def _loaded_prior(self, level: Level, _: torch.device) -> JukeboxPrior:
        return cast(JukeboxPrior, self.priors[COARSE_TO_FINE.index(level)])

    def ancestral_sample(
        self,
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        duration_sec: float,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Sing from nothing, level after level.

        A song shorter than a window of the middle or bottom level is sung by drawing more codes
        above than are heard (see `plan_song`); those are not part of the result, here and in all
        other modes.

        Args:
            labels: one song per row; a single one is sung `n_samples` times.
            n_samples: how many takes of a single song; 1 for several songs. One seed gives
                every take its own chance.
            duration_sec: how much is drawn, cut to whole top tokens.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: the model cannot sing that long, that short, or with these settings.
        """
        return self._sample([], labels, n_samples, duration_sec=duration_sec, **options)

    def primed_sample(
        self,
        raw_audio: Tensor,
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        duration_sec: float,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Go on from given sound, which becomes the beginning of the song at every level.

        Args:
            raw_audio: float32 [B, samples, 1] at the model's sample rate, cut to whole top tokens.
            labels: of the whole song; one for all rows, or one each.
            n_samples: takes of a single prompt; 1 for several prompts.
            duration_sec: length of the result, the prompt included.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            AudioError: the audio has another shape, or is shorter than one top token.
            SongError: the model cannot sing that, or the prompt is longer than the song.
        """
        prompt = whole_tokens(raw_audio, self.config.time_base.samples_per_token[Level.TOP])
        self._check_prompt(prompt.shape[1], duration_sec)
        device = next(self.vqvae.parameters()).device
        codes = self.vqvae.encode(prompt.to(device))[::-1][: len(levels_of(options))]
        return self._sample(codes, labels, n_samples, duration_sec=duration_sec, **options)

    def _check_prompt(self, num_samples: int, duration_sec: float) -> None:
        """Raises SongError, which names the rate: a tensor does not know its own."""
        time_base = self.config.time_base
        rate_hz = time_base.sample_rate_hz
        if num_samples > time_base.seconds_to_samples(duration_sec):
            shortest_sec = -(-num_samples * 1000 // rate_hz) / 1000
            raise SongError(
                f"duration_sec={duration_sec:.10g} is the whole length, and the prompt alone lasts "
                f"{num_samples / rate_hz:.6g} s at the {rate_hz:,} Hz of this model: ask for at "
                f"least {shortest_sec:.10g} s, or cut the prompt; a recording with another rate is "
                f"read with sample_rate_hz={rate_hz}",
                field="duration_sec",
            )

    def continue_sample(
        self,
        codes: Sequence[Tensor],
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        duration_sec: float,
        keep_sec: float | None = None,
        row: int | None = None,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Go on with a song, finished at all levels or not; exactly what is missing is drawn.

        (The original draws the whole duration anew where all fits in one window: a bug.)

        Args:
            codes: int64 [B, T] per level, top first. Levels that are not asked for (`levels` of
                `SongOptions`) are left aside.
            labels: of the whole song; they may differ from what its beginning was sung with.
            n_samples: takes of a single row; 1 for several rows.
            duration_sec: length of the result, what is kept included.
            keep_sec: how much to keep, cut to whole top tokens; all when absent.
            row: go on with this row alone. Its takes are numbered from `row` on, so that the
                chosen row meets the chance it would have met among the others.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: the model cannot sing that, or what is kept does not fit it.
        """
        kept = checked_codes(self.config, codes[: len(levels_of(options))], row)
        lengths = cut_tokens(self.config.time_base, lengths_of(kept), keep_sec)
        kept = [stream[:, :length] for stream, length in zip(kept, lengths.values(), strict=True)]
        options.setdefault("first_sample", row or 0)
        return self._sample(kept, labels, n_samples, duration_sec=duration_sec, **options)

    def upsample(
        self,
        codes: Sequence[Tensor],
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        row: int | None = None,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Draw what a draft lacks below its top, or below what it has.

        Args:
            codes: int64 [B, T] per level, top first: the top alone, or more of a song that was
                interrupted.
            labels: as the lower levels are to read them; others than the draft's may be given, and
                several songs make several versions of a single row.
            n_samples: takes of a single row; 1 for several rows.
            row: upsample this row alone; numbered for chance as in `continue_sample`.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first; what was given is in it unchanged.

        Raises:
            SongError: the model cannot sing that, or the codes do not fit it.
        """
        num_top_tokens = codes[0].shape[-1] if codes else 0
        return self.continue_sample(
            codes,
            labels,
            n_samples,
            duration_sec=self.config.time_base.tokens_to_seconds(num_top_tokens, Level.TOP),
            row=row,
            **options,
        )

    def redo_sample(
        self,
        codes: Sequence[Tensor],
        labels: Labels | InputIds,
        n_samples: int = 1,
        *,
        start_sec: float,
        end_sec: float | None = None,
        row: int | None = None,
        old_seed: int | None = None,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Sample a section of a song again; before and behind it the codes stay as they are.

        The section is sampled from what precedes it. Where it meets what follows, every level
        looks for the place where new and old codes agree best (`sampling/infill.py`), at most
        `sum(JOIN_SEC.values())` seconds behind the section in all.

        Args:
            codes: int64 [B, T] per level, top first. Levels that are asked for and not there are
                sampled whole.
            labels: for the section; they may differ from the song's.
            n_samples: takes of a single row; 1 for several rows.
            start_sec: where the section begins, cut to whole top tokens.
            end_sec: where it ends, rounded up to whole top tokens; the end of the song when absent.
            row: redo this row alone; numbered for chance as in `continue_sample`.
            old_seed: what the song was sampled with, where that is known: with the same noise the
                finer levels find back to the old codes soon.
            options: see `SongOptions`.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: the section is not inside the song, or the codes do not fit the model.
        """
        kept = checked_codes(self.config, codes[: len(levels_of(options))], row)
        time_base = self.config.time_base
        lengths = cut_tokens(time_base, lengths_of(kept))
        kept = [stream[:, :length] for stream, length in zip(kept, lengths.values(), strict=True)]
        total = lengths[Level.TOP]
        section = section_tokens(time_base, start_sec, end_sec, total)
        first_sample = options.setdefault("first_sample", row or 0)
        if old_seed is not None:
            new = options.get("noise") or CounterNoise(options.get("seed", 0))
            num_rows = max(n_samples, len(kept[0]), len(self._labels_of(labels)))
            rows = range(num_rows) if len(kept[0]) > 1 else [row or 0] * num_rows
            options["noise"] = SectionNoise(
                new,
                CounterNoise(old_seed),
                section=section,
                levels=lengths,
                old_samples=rows,
                first_sample=first_sample,
            )
        return self._sample(
            kept,
            labels,
            n_samples,
            duration_sec=time_base.tokens_to_seconds(total, Level.TOP),
            infills=section_infills(time_base, *section, total),
            **options,
        )

    def splice(
        self,
        parts: Sequence[SplicePart],
        n_samples: int = 1,
        *,
        mend_sec: float = 0.0,
        **options: Unpack[SongOptions],
    ) -> list[Tensor]:
        """Put a song together from stretches of others.

        Borders are moved to the nearest border between two tokens of the top level, see
        `plan_splice`. No code is changed, unless joins are mended.

        Args:
            parts: in order, each with the codes of a song and where to cut it.
            n_samples: takes, where something is generated.
            mend_sec: generate the levels below the top again for so long before and after each
                join, so that it is not heard.
            options: see `SongOptions`. `levels` are by default those that all parts have; finer
                ones are generated, with the labels of each part.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: a part is not inside its song, or something is to be generated and a part has
                no labels.
        """
        spliced = splice_codes(self.config, parts)
        options.setdefault("levels", spliced.plan.levels)
        levels = levels_of(options)
        codes = spliced.codes[: len(levels)]
        infills = mend_infills(self.config.time_base, spliced.plan, mend_sec)
        if len(codes) == len(levels) and not any(level in infills for level in levels):
            return codes
        labels = parts[0].labels
        if not spliced.spans or labels is None:
            raise SongError("generating levels takes labels of all parts", field="parts")
        duration_sec = self.config.time_base.tokens_to_seconds(codes[0].shape[1], Level.TOP)
        return self._sample(
            codes,
            labels.song(0),
            n_samples,
            duration_sec=duration_sec,
            infills={level: found for level, found in infills.items() if level in levels},
            spans=spliced.spans,
            **options,
        )

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

    @property
    def _device(self) -> torch.device:
        if self._placed.placement is not Placement.RESIDENT:
            return self._placed.device
        # The module may have been moved since.
        return self.prior(Level.TOP).position_embedding.device

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


_COMPUTE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def default_dtype(device: torch.device | str) -> torch.dtype:
    """Exact on the CPU, half precision on an accelerator, as the original sampled."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.float16
