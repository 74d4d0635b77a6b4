"""Training the prior of one level."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jukebox_core.atomic_files import whole_file
from jukebox_core.checkpoints import load_prior_of, load_vqvae_of
from jukebox_core.checkpoints.native import prior_file, write_tensors
from jukebox_core.errors import TrainingError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import read_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.training.dataset.codes_cache import song_codes
from jukebox_core.training.dataset.data import Report, TrainingData, TrainingSong, silent
from jukebox_core.training.dataset.new_model import refuse_int8_weights
from jukebox_core.training.priors.bar_position import MetreHead, metre_accuracy, metre_loss
from jukebox_core.training.priors.guide import GuidedHead, attention_hits, guide_loss
from jukebox_core.training.priors.measures import (
    lyric_attention,
    measure_prior,
    spread_places,
    unigram_code_bits,
)
from jukebox_core.training.priors.own_errors import with_drawn_codes
from jukebox_core.training.priors.samples import write_prior_samples
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.priors.windows import PriorSong, PriorWindows, read_songs
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.training.task import Batch
from jukebox_core.units import Level

_ARGUMENTS = ("codes", "labels", "upper_codes", "counted")


class PriorTask:
    """The prior of one level of a model directory, trained further from the weights it has there.

    Raises:
        TrainingError: no song can be used, or a part to freeze is not there.
        LabelError: the model has no label lists, or a genre does not fit them.
    """

    def __init__(
        self,
        level: Level,
        data: TrainingData,
        model_dir: Path,
        settings: TrainingSettings,
        prior_settings: PriorSettings,
        *,
        report: Report = silent,
    ) -> None:
        self.level, self.settings, self.prior_settings = level, settings, prior_settings
        self._model_dir = model_dir
        self.config = read_config(model_dir).prior(level)
        self._tokenizer = JukeboxTokenizer.from_pretrained(model_dir)
        self._vqvae = load_vqvae_of(model_dir)
        self._codes = song_codes(data, self._vqvae, level, report=report)
        self._upper = (
            None
            if level.upper is None
            else song_codes(data, self._vqvae, level.upper, report=report)
        )
        self.windows = PriorWindows(self.config, self._read(data.songs(), report))
        held_out = self._read(data.songs(held_out=True), report)
        self.held_out = PriorWindows(self.config, held_out) if held_out else None
        self._prior = _owned_prior(model_dir, level)
        self._prior.transformer.gradient_checkpointing = settings.gradient_checkpointing
        freeze_parts(self._prior, prior_settings.freeze)
        self._guided = self._guided_heads()
        self._metre = self._metre_head()

    def _read(self, songs: Sequence[TrainingSong], report: Report) -> list[PriorSong]:
        return read_songs(
            self.config, self._tokenizer, songs, self._codes, self._upper, report=report
        )

    def _guided_heads(self) -> tuple[GuidedHead, ...]:
        """Empty where nobody knows what is sung when, or the model has no alignment head."""
        lyrics = self.config.lyrics
        is_known = any(song.characters is not None for song in self.windows.songs)
        if lyrics is None or lyrics.alignment_layer is None or not is_known:
            return ()
        if not max(self.prior_settings.guide_weight, self.prior_settings.guide_final):
            return ()
        head, num_heads = lyrics.alignment_head or 0, self.config.transformer.num_heads
        if self.prior_settings.guide_next and num_heads > 1:
            return GuidedHead(head), GuidedHead((head + 1) % num_heads, shift=1)
        return (GuidedHead(head),)

    def _metre_head(self) -> MetreHead | None:
        """None where no bar is known, or nobody wants to hear of it."""
        is_known = any(song.bar_places is not None for song in self.windows.songs)
        if not is_known or not self.prior_settings.metre_weight:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return MetreHead(self._prior)

    @cached_property
    def modules(self) -> nn.Module:
        """The prior, and beside it a head where there is one."""
        if self._metre is None:
            return self._prior
        return nn.ModuleDict({"prior": self._prior, "metre": self._metre})

    def batch(self, step: int, micro: int, rank: int) -> Batch:
        """Random windows: `PriorWindows.batch`, and the weight of the guide in this step."""
        told = self.prior_settings
        random = np.random.default_rng((self.settings.seed, step, micro, rank))
        windows = self.windows
        places = [
            windows.random_place(random, told.start_share, told.end_share)
            for _ in range(self.settings.batch_size)
        ]
        labels = [
            windows.with_unknown(windows.songs[place.song].labels, random, told.label_dropout)
            for place in places
        ]
        upper = [
            windows.with_noise(windows.upper_at(place), random, told.upper_noise)
            for place in places
        ]
        batch = windows.batch(places, labels=labels, upper=upper)
        if told.own_errors:
            shape = (2, len(places), self.config.context_tokens)
            batch["chances"] = torch.from_numpy(random.random(shape, dtype=np.float32))
        if self._guided:
            weight = told.guide_weight_at(step, self.settings.steps)
            batch["guide_weight"] = torch.tensor(weight)
        else:
            batch.pop("columns", None)
        if self._metre is not None:
            bars = [windows.bar_places_at(place) for place in places]
            batch["bar_places"] = torch.from_numpy(np.stack(bars))
        return batch

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Bits of music and lyrics as the original weighs them, and the guide."""
        lyrics = self.config.lyrics
        layer = lyrics.alignment_layer if self._guided and lyrics is not None else None
        arguments = {name: batch[name] for name in _ARGUMENTS if name in batch}
        if "chances" in batch:
            arguments["read_codes"] = self._with_own_errors(arguments, batch["chances"])
        output = self._prior(**arguments, record_attention=layer)
        loss = output.loss
        metrics = {"bits_per_token": output.music_loss.detach()}
        if lyrics is not None:
            metrics["lyric_bits"] = output.lyric_loss.detach()
        if self._metre is not None:
            logits = self._metre(self.config.context_tokens)
            loss = loss + self.prior_settings.metre_weight * metre_loss(logits, batch["bar_places"])
            metrics["bar_accuracy"] = metre_accuracy(logits.detach(), batch["bar_places"])
        if output.attention is None:
            return loss, metrics
        attention = lyric_attention(output.attention, self.config)
        guide = guide_loss(attention, batch["columns"], self._guided)
        hits, num_sung = attention_hits(attention.detach(), batch["columns"], self._guided[0].head)
        metrics |= {
            "guide": guide.detach(),
            "attention_accuracy": hits / num_sung.clamp(min=1),
        }
        return loss + batch["guide_weight"] * guide, metrics

    def _with_own_errors(self, arguments: Mapping[str, Tensor], chances: Tensor) -> Tensor:
        """int64 [B, T]: what is read, of which the prior draws a share itself."""
        with torch.no_grad():
            logits = self._prior(**arguments).logits
        share = self.prior_settings.own_errors
        return with_drawn_codes(arguments["codes"], logits, chances, share)

    def num_tokens(self, batch: Batch) -> int:
        """Codes in the batch."""
        return batch["codes"].numel()

    def after_step(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Everything is learned by gradients."""
        return {}

    def evaluate(self, step: int) -> Mapping[str, float]:
        """See `PriorMeasures`; nothing where no song is held out."""
        if self.held_out is None:
            return {}
        places = spread_places(self.held_out, self.prior_settings.evaluation_windows)
        return measure_prior(
            self._prior,
            self.held_out,
            places,
            code_bits=self._code_bits,
            batch_size=self.settings.batch_size,
        ).to_dict()

    @cached_property
    def _code_bits(self) -> NDArray[np.float64]:
        return unigram_code_bits(self.windows)

    def write_samples(self, step: int, directory: Path) -> None:
        """A few seconds of held-out songs: drawn by the prior, and beside them the truth."""
        write_prior_samples(self._prior, self._vqvae, self.held_out or self.windows, directory)

    def export(self, modules: nn.Module) -> None:
        """Replace the prior of this level in the model directory."""
        file = self._model_dir / prior_file(self.level)
        with whole_file(file) as unfinished:
            write_tensors(unfinished, self._prior.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the modules."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""


def freeze_parts(prior: JukeboxPrior, parts: tuple[str, ...]) -> None:
    """Leave parts of a prior as they are: `labels`, `conditioner`, `transformer.layers.0`, ...

    Raises:
        TrainingError: there is no such part, or nothing is left to train.
    """
    for part in parts:
        frozen = [
            weight
            for name, weight in prior.named_parameters()
            if name == part or name.startswith(f"{part}.")
        ]
        if not frozen:
            known = sorted({name.split(".")[0] for name, _ in prior.named_parameters()})
            raise TrainingError(f"no part is called {part!r}: there are {', '.join(known)}")
        for weight in frozen:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in prior.parameters()):
        raise TrainingError("everything is frozen: nothing is left to train")


def _owned_prior(model_dir: Path, level: Level) -> JukeboxPrior:
    """The prior in float32, in memory of its own: it must not change with the file."""
    prior = load_prior_of(model_dir, level, dtype=torch.float32)
    refuse_int8_weights([prior], model_dir)
    for weight in prior.parameters():
        weight.data = weight.data.clone()
    return prior
