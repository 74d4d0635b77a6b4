"""Training the post-filter of a model directory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio import write_audio
from jukebox_core.checkpoints.native import VQVAE_FILE, write_config, write_tensors
from jukebox_core.config import PostFilterConfig
from jukebox_core.models.catalog import read_config, read_config_and_weights
from jukebox_core.training.codec.measures import log_spectral_distance_db
from jukebox_core.training.dataset.data import locked
from jukebox_core.training.post_filter.losses import mel_loss, spectral_losses, waveform_loss
from jukebox_core.training.post_filter.material import Pieces
from jukebox_core.training.post_filter.settings import PostFilterSettings
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.training.task import Batch
from jukebox_core.vqvae.post_filter import PostFilter

_PREFIX = "post_filter."
_HELD_OUT_SHARE = 0.1
_MAX_SAMPLES = 4


class PostFilterTask:
    """A filter from nothing, on pieces that were made before; one that is there is replaced."""

    def __init__(
        self,
        config: PostFilterConfig,
        pieces: Pieces,
        model_dir: Path,
        settings: TrainingSettings,
        filter_settings: PostFilterSettings,
    ) -> None:
        self.config, self.filter_settings = config, filter_settings
        self._settings, self._model_dir, self._pieces = settings, model_dir, pieces
        self._rate_hz = read_config(model_dir).vqvae.sample_rate_hz
        num_held_out = min(max(round(_HELD_OUT_SHARE * len(pieces)), 1), len(pieces) - 1)
        self._num_learnt = len(pieces) - num_held_out
        torch.manual_seed(settings.seed)
        self._filter = PostFilter(config)

    @property
    def modules(self) -> PostFilter:
        """The filter."""
        return self._filter

    def batch(self, step: int, micro: int, rank: int) -> Batch:
        """`true` and `rendered`, float32 [B, samples]: the same places of random pieces."""
        random = np.random.default_rng((self._settings.seed, step, micro, rank))
        num_samples = self._pieces.true.shape[1]
        crop = min(self.filter_settings.crop_samples, num_samples)
        true, rendered = [], []
        for _ in range(self._settings.batch_size):
            number = int(random.integers(self._num_learnt))
            start = int(random.integers(num_samples - crop + 1))
            place = (number, slice(start, start + crop))
            is_drawn = random.random() < self.filter_settings.drawn_share
            drawn = self._pieces.drawn if is_drawn else None
            true.append(self._pieces.true[place])
            rendered.append((self._pieces.reconstructed if drawn is None else drawn)[place])
        return {"true": torch.stack(true), "rendered": torch.stack(rendered)}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of the losses; the metrics are the losses without weights."""
        weights = self.filter_settings
        with torch.autocast(batch["true"].device.type, enabled=False):
            true, output = batch["true"], self._filter(batch["rendered"])
            convergence, log_magnitude = spectral_losses(true, output, self._rate_hz)
            parts = {
                "waveform": (weights.waveform_weight, waveform_loss(true, output)),
                "convergence": (weights.convergence_weight, convergence),
                "log_magnitude": (weights.log_magnitude_weight, log_magnitude),
                "mel": (weights.mel_weight, mel_loss(true, output, self._rate_hz)),
            }
        total = torch.stack([weight * value for weight, value in parts.values()]).sum()
        return total, {name: value.detach() for name, (_, value) in parts.items()}

    def num_tokens(self, batch: Batch) -> int:
        """Samples in the batch."""
        return batch["true"].numel()

    def after_step(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Everything is learned by gradients."""
        return {}

    def evaluate(self, step: int) -> Mapping[str, float]:
        """On held-out pieces, with the filter and without it (`_before`).

        `drawn_lsd_db`, `reconstructed_lsd_db`  log spectral distance from the true sound
        `reconstructed_snr_db`                  of the waveform
        """
        true = self._pieces.true[self._num_learnt :]
        figures: dict[str, float] = {}
        kinds = {"reconstructed": self._pieces.reconstructed, "drawn": self._pieces.drawn}
        for name, sounds in kinds.items():
            if sounds is None:
                continue
            before = sounds[self._num_learnt :]
            after = self._filtered(before)
            for ending, sound in (("", after), ("_before", before)):
                figures[f"{name}_lsd_db{ending}"] = log_spectral_distance_db(true, sound).item()
                if name == "reconstructed":
                    figures[f"{name}_snr_db{ending}"] = _snr_db(true, sound)
        return figures

    def write_samples(self, step: int, directory: Path) -> None:
        """Held-out pieces: true, as rendered, and filtered."""
        rendered = self._pieces.reconstructed if self._pieces.drawn is None else self._pieces.drawn
        for number in range(self._num_learnt, len(self._pieces))[:_MAX_SAMPLES]:
            filtered = self._filtered(rendered[number : number + 1])[0]
            sounds = {
                "true": self._pieces.true[number],
                "rendered": rendered[number],
                "filtered": filtered,
            }
            for name, sound in sounds.items():
                file = directory / f"{number}_{name}.wav"
                write_audio(file, sound[:, None].clamp(-1, 1), self._rate_hz)

    def _filtered(self, sounds: Tensor) -> Tensor:
        device = next(self._filter.parameters()).device
        return torch.cat([self._filter(sound[None].to(device)).cpu() for sound in sounds])

    def export(self, modules: nn.Module) -> None:
        """Write the filter into the model directory: its weights, and that there is one."""
        tensors = {
            f"{_PREFIX}{name}": tensor.detach().float().cpu()
            for name, tensor in self._filter.state_dict().items()
        }
        file = self._model_dir / VQVAE_FILE
        with locked(self._model_dir / f".{VQVAE_FILE}.lock"):
            kept = {
                name: tensor
                for name, tensor in load_file(file).items()
                if not name.startswith(_PREFIX)
            }
            config, weights = read_config_and_weights(self._model_dir)
            config = replace(config, vqvae=replace(config.vqvae, post_filter=self.config))
            with whole_file(file) as unfinished:
                write_tensors(unfinished, kept | tensors)
            write_config(self._model_dir, config, weights)

    def state_dict(self) -> dict[str, Any]:
        """Only what the modules do not hold: the settings of the filter, to compare."""
        return {"filter_settings": self.filter_settings.to_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""


def _snr_db(true: Tensor, sound: Tensor) -> float:
    noise = (sound - true).square().sum().clamp_min(1e-12)
    return (10 * (true.square().sum().clamp_min(1e-12) / noise).log10()).item()
