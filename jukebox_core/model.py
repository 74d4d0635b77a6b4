"""The public door: a whole Jukebox, from words to sound."""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from jukebox_core.errors import SongError
from jukebox_core.generating_model import GeneratingModel, InputIds
from jukebox_core.labels import Labels
from jukebox_core.sampling.infill import section_infills, section_tokens
from jukebox_core.sampling.kept import cut_tokens
from jukebox_core.sampling.noise import CounterNoise, SectionNoise
from jukebox_core.sampling.options import (
    SongOptions,
    checked_codes,
    lengths_of,
    levels_of,
    whole_tokens,
)
from jukebox_core.sampling.splice import mend_infills
from jukebox_core.sampling.spliced_codes import SplicePart, splice_codes
from jukebox_core.units import Level


class JukeboxModel(GeneratingModel):
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
