"""Training one level of a VQ-VAE."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jukebox_core.audio import write_audio
from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.training.codec import losses
from jukebox_core.training.codec.auxiliary_head import (
    AuxiliaryHead,
    chroma_loss,
    class_accuracy,
    class_loss,
)
from jukebox_core.training.codec.codebook_learning import rows_of
from jukebox_core.training.codec.crops import Crops
from jukebox_core.training.codec.data_init import scale_decoder, scale_encoder
from jukebox_core.training.codec.export import export_level, load_level
from jukebox_core.training.codec.level import LevelOutput, VQVAELevel
from jukebox_core.training.codec.measures import Reconstruction
from jukebox_core.training.codec.settings import VQVAELevelSettings
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.training.task import Batch
from jukebox_core.units import Level

EVALUATION_CROPS = 128
EVALUATION_SEED = 20_240
SAMPLE_SECONDS = 6.0


class VQVAETask:
    """One level: levels share no weights, so each is a run of its own.

    It begins from nothing, or with `warm_start` from the weights that the model directory has.

    Raises:
        TrainingError: there are no songs, or the pieces are no whole number of tokens.
    """

    def __init__(
        self,
        level: Level,
        config: JukeboxVQVAEConfig,
        data: TrainingData,
        model_dir: Path,
        settings: TrainingSettings,
        level_settings: VQVAELevelSettings,
        *,
        warm_start: bool = False,
    ) -> None:
        self.level, self.config, self.level_settings = level, config, level_settings
        self._settings = settings
        self._model_dir = model_dir
        songs = data.songs()
        artists = sorted({song.artist for song in songs})
        genres = sorted({song.genre for song in songs})
        hop = config.samples_per_token[level]
        self._hop = hop
        options: dict[str, Any] = {
            "crop_samples": level_settings.crop_samples,
            "samples_per_token": hop,
            "artists": artists,
            "genres": genres,
        }
        self._crops = Crops(songs, **options)
        self._held_out = Crops(data.songs(held_out=True) or songs, **options)
        self._sample_songs = (data.songs(held_out=True) or songs)[:4]
        torch.manual_seed(settings.seed)
        self._modules = VQVAELevel(
            config,
            level,
            AuxiliaryHead(config.embedding_width, len(artists), len(genres))
            if level_settings.uses_head
            else None,
            gradient_checkpointing=settings.gradient_checkpointing,
        )
        examples = self._crops.batch(64, EVALUATION_SEED)["audio"]
        self._bandwidth = losses.measure_bandwidth(examples)
        if warm_start:
            load_level(model_dir, level, self._modules)
        else:
            self._scale(examples[:16])
        self._seen: list[tuple[Tensor, Tensor]] = []

    @property
    def modules(self) -> VQVAELevel:
        """The level with what only training needs."""
        return self._modules

    def batch(self, step: int, micro: int, rank: int) -> Batch:
        """See `Crops.batch`."""
        return self._crops.batch(self._settings.batch_size, self._settings.seed, step, micro, rank)

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of the level's losses; the metrics are the losses without weights."""
        # The codec is always float32: half precision gains nothing in it and moves codes.
        with torch.autocast(batch["audio"].device.type, enabled=False):
            output = self._modules(batch["audio"])
            parts = self._parts(batch, output)
        if self._modules.training:
            self._seen.append((rows_of(output.vectors.detach()), output.codes.flatten()))
        total = torch.stack([weight * value for weight, value in parts.values()]).sum()
        return total, {name: value.detach() for name, (_, value) in parts.items()}

    def num_tokens(self, batch: Batch) -> int:
        """Codes in the batch."""
        return batch["audio"].numel() // self._hop

    def after_step(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Move the codebook."""
        vectors = torch.cat([vectors for vectors, _ in self._seen])
        codes = torch.cat([codes for _, codes in self._seen])
        self._seen = []
        return self._modules.learner.update(self._modules.codebook, vectors, codes)

    def evaluate(self, step: int) -> Mapping[str, float]:
        """Reconstruction, codebook use, and what the head hears, on pieces of held-out songs."""
        device = next(self._modules.parameters()).device
        reconstruction = Reconstruction(self.config.num_codes)
        heard: dict[str, list[Tensor]] = {}
        for number in range(-(-EVALUATION_CROPS // self._settings.batch_size)):
            batch = self._held_out.batch(self._settings.batch_size, EVALUATION_SEED, number)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            output = self._modules(batch["audio"])
            reconstruction.add(batch["audio"], output.rendered, output.codes)
            for name, value in self._heard(batch, output).items():
                heard.setdefault(name, []).append(value)
        means = {name: torch.stack(values).mean().item() for name, values in heard.items()}
        return reconstruction.figures() | means

    def write_samples(self, step: int, directory: Path) -> None:
        """Held-out songs as this level renders them, with the true ones beside them."""
        device = next(self._modules.parameters()).device
        rate_hz = self.config.sample_rate_hz
        for number, song in enumerate(self._sample_songs):
            num_samples = int(SAMPLE_SECONDS * rate_hz) // self._hop * self._hop
            audio = torch.from_numpy(song.audio(0, num_samples))
            audio = audio[: len(audio) // self._hop * self._hop]
            rendered = self._modules(audio[None].to(device)).rendered[0].clamp(-1, 1)
            write_audio(directory / f"{number}_{self.level.label}.wav", rendered, rate_hz)
            write_audio(directory / f"{number}_true.wav", audio, rate_hz)

    def export(self, modules: nn.Module) -> None:
        """Write this level's tensors into the model directory."""
        export_level(self._model_dir, self.level, self._modules)

    def state_dict(self) -> dict[str, Any]:
        """Only what the modules do not hold: the settings of the level, to compare."""
        return {"level": self.level.label, "level_settings": self.level_settings.to_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""

    def _scale(self, audio: Tensor) -> None:
        modules, codebook = self._modules, self._modules.codebook
        vectors = codebook.compare(scale_encoder(modules.encoder, audio.unsqueeze(1)))
        scale_decoder(modules.decoder, codebook.expand(vectors), self._bandwidth.l2**0.5)

    def _parts(self, batch: Batch, output: LevelOutput) -> dict[str, tuple[float, Tensor]]:
        """Every loss that counts: name -> (weight, loss)."""
        weights = self.level_settings
        target, rendered = batch["audio"], output.rendered
        bandwidth = self._bandwidth
        parts = {
            "commit": (
                self.config.commit_weight,
                losses.commit_loss(output.vectors, output.quantized),
            )
        }
        if weights.l1_weight:
            parts["l1"] = (weights.l1_weight, losses.l1_loss(target, rendered, bandwidth))
        if weights.l2_weight:
            parts["l2"] = (weights.l2_weight, losses.l2_loss(target, rendered, bandwidth))
        if weights.linf_weight:
            parts["linf"] = (weights.linf_weight, losses.linf_loss(target, rendered, bandwidth))
        if weights.uses_spectrograms:
            parts |= self._spectral_parts(target, rendered)
        if self._modules.head is not None:
            parts |= self._head_parts(self._modules.head, batch, output)
        return parts

    def _spectral_parts(self, target: Tensor, rendered: Tensor) -> dict[str, tuple[float, Tensor]]:
        weights = self.level_settings
        with torch.no_grad():
            targets = losses.spectrograms(target, losses.ORIGINAL_RESOLUTIONS)
        outputs = losses.spectrograms(rendered, losses.ORIGINAL_RESOLUTIONS)
        parts = {
            "multispectral": (
                weights.multispectral_weight,
                losses.multispectral_loss(targets, outputs, self._bandwidth),
            )
        }
        if weights.log_magnitude_weight:
            parts["log_magnitude"] = (
                weights.log_magnitude_weight,
                losses.log_magnitude_loss(targets, outputs),
            )
        return parts

    def _head_parts(
        self, head: AuxiliaryHead, batch: Batch, output: LevelOutput
    ) -> dict[str, tuple[float, Tensor]]:
        weights = self.level_settings
        logits = head(output.passed)
        return {
            "vowel": (weights.vowel_weight, class_loss(logits.vowel, batch["vowels"])),
            "pitch": (weights.pitch_weight, class_loss(logits.pitch, batch["pitches"])),
            "bass": (weights.chroma_weight, class_loss(logits.bass, batch["bass"])),
            "chroma": (
                weights.chroma_weight,
                chroma_loss(logits.chroma, batch["chroma"], batch["bass"]),
            ),
            "artist": (weights.artist_weight, class_loss(logits.artist, batch["artist"])),
            "genre": (weights.genre_weight, class_loss(logits.genre, batch["genre"])),
        }

    def _heard(self, batch: Batch, output: LevelOutput) -> dict[str, Tensor]:
        if self._modules.head is None:
            return {}
        logits = self._modules.head(output.passed)
        return {
            "vowel_accuracy": class_accuracy(logits.vowel, batch["vowels"]),
            "pitch_accuracy": class_accuracy(logits.pitch, batch["pitches"]),
            "bass_accuracy": class_accuracy(logits.bass, batch["bass"]),
            "artist_accuracy": (logits.artist.argmax(1) == batch["artist"]).float().mean(),
            "genre_accuracy": (logits.genre.argmax(1) == batch["genre"]).float().mean(),
        }
