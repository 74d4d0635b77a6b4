"""The public door: a whole Jukebox, from words to sound."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from jukebox_core.checkpoints import LoadedParts, load_directory, load_openai, save_directory
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import LabelError, SongError
from jukebox_core.labels import JukeboxTokenizer, Labels, SongLabels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.alignment import align_lyrics
from jukebox_core.sampling.ancestral import LevelProgress, LevelTask, SongTiming, draw_level
from jukebox_core.sampling.cascade import SongPlan, default_song_duration_sec, plan_song
from jukebox_core.sampling.noise import CounterNoise, NoiseSource
from jukebox_core.sampling.windows import hop_tokens
from jukebox_core.song import SamplingParams, Song, default_sampling
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE


class JukeboxModel(nn.Module):
    """The VQ-VAE and its three priors.

    ```python
    model = JukeboxModel.from_pretrained("models/tiny")
    labels = model.tokenizer("The Sawtooths", "drone", "Hello, hello")
    codes = model.ancestral_sample(labels, duration_sec=2.0, seed=7)
    audio = model.decode(codes)
    ```

    `priors[0]` is the top, as in the Hugging Face documentation; `prior(level)` asks by name.
    `tokenizer` is None when the model came without label lists.
    """

    def __init__(self, parts: LoadedParts) -> None:
        super().__init__()
        self.config: JukeboxConfig = parts.config
        self.vqvae: JukeboxVQVAE = parts.vqvae
        self.priors = nn.ModuleList(parts.priors)
        self._tokenizer = (
            JukeboxTokenizer.from_directory(parts.labels_dir, parts.config)
            if parts.labels_dir is not None
            else None
        )

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Load a directory in our own format or in that of transformers 4.

        Args:
            directory: see `docs/models.md` for the files it holds.
            device: where the weights go.
            dtype: of the transformer stacks and their caches; by default float32 on the CPU and
                float16 elsewhere. What the original keeps in float32 stays so.

        Raises:
            CheckpointError: tensors are unknown, missing or misshapen, or the files are not there.
        """
        return cls(
            load_directory(Path(directory), device=device, dtype=dtype or default_dtype(device))
        )

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

    def save_pretrained(self, directory: str | Path) -> None:
        """Write our own format: `config.json`, one safetensors file per part, the label lists."""
        save_directory(
            Path(directory),
            self.config,
            self.vqvae,
            [self.prior(level) for level in COARSE_TO_FINE],
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
        """The prior of one level."""
        return cast(JukeboxPrior, self.priors[COARSE_TO_FINE.index(level)])

    @torch.inference_mode()
    def ancestral_sample(
        self,
        labels: Labels,
        n_samples: int = 1,
        *,
        duration_sec: float,
        song_duration_sec: float | None = None,
        offset_sec: float = 0.0,
        sampling: Mapping[Level, SamplingParams] | None = None,
        levels: Sequence[Level] = COARSE_TO_FINE,
        seed: int = 0,
        noise: NoiseSource | None = None,
        max_batch_size: int = 16,
        progress: LevelProgress | None = None,
    ) -> list[Tensor]:
        """Sing from nothing, level after level.

        Args:
            labels: one song per row; a single one is sung `n_samples` times.
            n_samples: how many takes of a single song; ignored for several songs.
            duration_sec: how much is drawn, cut to whole top tokens.
            song_duration_sec: length of the whole imagined song, which paces the lyrics;
                the shortest that the model was trained on when absent.
            offset_sec: where in that song the drawn part begins.
            sampling: per level; temperature 0.99 and no filter where absent.
            levels: `(Level.TOP,)` alone makes a draft.
            seed: chance of the default noise; the same seed gives the same song.
            noise: any object with `uniform(level, sample, position)`, see `NoiseSource`.
            max_batch_size: rows that are drawn together.
            progress: called after every token.

        Returns:
            int64 [B, T] per level, top first.

        Raises:
            SongError: the model cannot sing that long, that short, or with these settings.
        """
        song = Song(
            artist="",
            genre="",
            duration_sec=duration_sec,
            song_duration_sec=(
                default_song_duration_sec(self.config, duration_sec, offset_sec)
                if song_duration_sec is None
                else song_duration_sec
            ),
            offset_sec=offset_sec,
            num_samples=n_samples,
            seed=seed,
            sampling={**default_sampling(), **(sampling or {})},
            levels=tuple(levels),
        )
        plan = plan_song(self.config, song)
        return self._draw_cascade(
            plan,
            song,
            _repeat_songs(labels, n_samples),
            noise if noise is not None else CounterNoise(seed),
            max_batch_size,
            progress,
        )

    @torch.inference_mode()
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        """Sound of the finest of the given levels.

        Args:
            codes: int64 [B, T] per level, top first, as `ancestral_sample` returns them.

        Returns:
            float32 [B, samples, 1], not clipped.
        """
        level = COARSE_TO_FINE[len(codes) - 1]
        return self.vqvae.decode_chunked(codes[-1], level)

    @torch.inference_mode()
    def align(
        self,
        top_codes: Tensor,
        labels: Labels,
        *,
        song_duration_sec: float,
        offset_sec: float = 0.0,
        hop_fraction: float | None = None,
    ) -> list[Tensor]:
        """When each character is sung, from the attention of the top prior's alignment head.

        Args:
            top_codes: int64 [B, T].
            labels: what the songs were sung with.
            song_duration_sec: as in sampling.
            offset_sec: as in sampling.
            hop_fraction: distance of the windows; the prior's own default when absent.

        Returns:
            float32 [T, characters] per song.

        Raises:
            SamplingError: the top prior has no alignment head.
            SongError: the hop is none that the prior can make.
        """
        prior = self.prior(Level.TOP)
        time_base = self.config.time_base
        timing = SongTiming(
            total_samples=time_base.seconds_to_samples(song_duration_sec),
            offset_samples=time_base.seconds_to_samples(offset_sec),
        )
        hop = hop_tokens(prior.config, hop_fraction, 1)
        songs = _repeat_songs(labels, len(top_codes))
        return [
            align_lyrics(prior, codes, song[0], timing, hop)
            for codes, song in zip(top_codes, songs, strict=True)
        ]

    def _draw_cascade(
        self,
        plan: SongPlan,
        song: Song,
        songs: Sequence[tuple[SongLabels, ...]],
        noise: NoiseSource,
        max_batch_size: int,
        progress: LevelProgress | None,
    ) -> list[Tensor]:
        timing = SongTiming(total_samples=plan.total_samples, offset_samples=plan.offset_samples)
        drawn: list[Tensor] = []
        for level in song.levels:
            task = LevelTask(
                prior=self.prior(level),
                plan=plan.levels[level],
                songs=[song_labels[COARSE_TO_FINE.index(level)] for song_labels in songs],
                timing=timing,
                params=song.sampling[level],
                noise=noise,
                max_batch_size=max_batch_size,
            )
            drawn.append(
                draw_level(
                    task,
                    upper_codes=drawn[-1] if drawn else None,
                    on_progress=progress,
                )
            )
        return drawn


def default_dtype(device: torch.device | str) -> torch.dtype:
    """Exact on the CPU, half precision on an accelerator, as the original sampled."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.float16


def _repeat_songs(labels: Labels, n_samples: int) -> list[tuple[SongLabels, ...]]:
    """One entry per row: a single song n times, or several songs once each."""
    songs = list(labels.songs)
    if len(songs) == 1:
        return songs * n_samples
    if n_samples not in (1, len(songs)):
        raise SongError(
            f"n_samples={n_samples} with {len(songs)} songs: several songs are drawn once each",
            field="num_samples",
        )
    return songs
