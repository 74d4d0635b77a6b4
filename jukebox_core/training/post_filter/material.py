"""Pieces of songs as they are and as a model sounds them, made once and kept in a folder."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from jukebox_core.atomic_files import whole_file
from jukebox_core.audio import read_audio
from jukebox_core.checkpoints.tensor_writing import save_file
from jukebox_core.errors import AudioError, TrainingError
from jukebox_core.model import JukeboxModel
from jukebox_core.training.dataset.data import Report, TrainingData, TrainingSong
from jukebox_core.training.dataset.manifest import CSV_FILE, JSON_FILE, UNKNOWN_NAME
from jukebox_core.training.post_filter.settings import PostFilterSettings
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE

_PIECES_AT_A_TIME = 16
_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Sound float32 [pieces, samples] each: the truth, and two renderings without a filter.

    `drawn` is None where only true codes were rendered.
    """

    true: Tensor
    reconstructed: Tensor
    drawn: Tensor | None

    def __len__(self) -> int:
        return len(self.true)


def folder_songs(directory: Path, sample_rate_hz: int, *, report: Report) -> Sequence[TrainingSong]:
    """The songs of a folder: those to train with if it has a list, else every sound file.

    Raises:
        TrainingError: there are none, or a file cannot be read as sound.
    """
    if any((directory / name).is_file() for name in (JSON_FILE, CSV_FILE)):
        return TrainingData(directory, sample_rate_hz, report=report).songs()
    files = sorted(
        file for file in directory.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file()
    )
    if not files:
        suffixes = ", ".join(sorted(_SUFFIXES))
        raise TrainingError(
            f"{directory} has neither a list of songs ({JSON_FILE}, {CSV_FILE}) nor a sound file "
            f"({suffixes})"
        )
    return [
        TrainingSong(
            index=index,
            name=str(file.relative_to(directory)),
            artist=UNKNOWN_NAME,
            genre=UNKNOWN_NAME,
            lyrics="",
            held_out=False,
            character_times=None,
            bar_start_sec=None,
            melody=None,
            chords=None,
            sample_rate_hz=sample_rate_hz,
            samples=_sound(file, sample_rate_hz),
        )
        for index, file in enumerate(files)
    ]


def _sound(file: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    try:
        return read_audio(file, sample_rate_hz=sample_rate_hz)[:, 0].numpy()
    except AudioError as error:
        raise TrainingError(f"{file}: {error}") from error


def make_pieces(
    model: JukeboxModel,
    songs: Sequence[TrainingSong],
    settings: PostFilterSettings,
    folder: Path,
    *,
    seed: int,
    report: Report,
) -> Pieces:
    """All pieces; those that an earlier call made are taken from `folder`.

    There they lie by what they are made from: the songs' names, the settings and the weights.

    Where every song is shorter than a piece, pieces are as long as the longest song.

    Raises:
        TrainingError: there is no song as long as one token.
    """
    folder = folder / _fingerprint(model, songs, settings, seed)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, clips in enumerate(_clips(model, songs, settings, seed)):
        file = folder / f"pieces-{number:03}.safetensors"
        if not file.is_file():
            done = number * _PIECES_AT_A_TIME
            report(f"drawing pieces {done + 1} to {done + len(clips)} of {settings.pieces}")
            made = _render(model, clips, settings, seed, first=done)
            with whole_file(file) as unfinished:
                save_file(made, unfinished)
        parts.append(load_file(file))
    sounds = {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}
    return Pieces(sounds["true"], sounds["reconstructed"], sounds.get("drawn"))


def _fingerprint(
    model: JukeboxModel, songs: Sequence[TrainingSong], settings: PostFilterSettings, seed: int
) -> str:
    is_drawn = settings.drawn_share > 0
    told = [settings.pieces, settings.piece_sec, is_drawn, seed, [song.name for song in songs]]
    digest = hashlib.sha256(json.dumps(told).encode())
    modules: list[nn.Module] = [*model.vqvae.encoders, *model.vqvae.codebooks]
    modules.append(model.vqvae.decoders[Level.BOTTOM])
    if is_drawn:
        modules.append(model.prior(Level.BOTTOM))
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    song: TrainingSong
    start: int
    num_samples: int

    def audio(self) -> Tensor:
        return torch.from_numpy(self.song.audio(self.start, self.num_samples))


def _clips(
    model: JukeboxModel, songs: Sequence[TrainingSong], settings: PostFilterSettings, seed: int
) -> Iterator[tuple[_Clip, ...]]:
    """Random places of songs that are long enough, a few at a time; songs come again if need be."""
    codec = model.config.vqvae
    hop = codec.samples_per_token[Level.TOP]
    longest = max((song.num_samples for song in songs), default=0)
    num_samples = min(round(settings.piece_sec * codec.sample_rate_hz), longest) // hop * hop
    if num_samples == 0:
        raise TrainingError(f"no song is as long as one token of {hop} samples")
    usable = [song for song in songs if song.num_samples >= num_samples]
    random = np.random.default_rng(seed)
    order = [
        usable[index]
        for _ in range(-(-settings.pieces // len(usable)))
        for index in random.permutation(len(usable))
    ][: settings.pieces]
    clips = [
        _Clip(song, int(random.integers((song.num_samples - num_samples) // hop + 1)) * hop,
              num_samples)
        for song in order
    ]  # fmt: skip
    for first in range(0, len(clips), _PIECES_AT_A_TIME):
        yield tuple(clips[first : first + _PIECES_AT_A_TIME])


def _render(
    model: JukeboxModel,
    clips: Sequence[_Clip],
    settings: PostFilterSettings,
    seed: int,
    *,
    first: int,
) -> dict[str, Tensor]:
    """float16 [clips, samples] each: `true`, `reconstructed`, and `drawn` if it is wanted."""
    device = next(model.vqvae.parameters()).device
    audio = torch.stack([clip.audio() for clip in clips])
    bottom, middle, top = model.vqvae.encode(audio.unsqueeze(-1).to(device))
    sounds = {"true": audio, "reconstructed": _unfiltered(model.vqvae, bottom)}
    if settings.drawn_share:
        labels = model.tokenizer(
            [clip.song.artist for clip in clips],
            [clip.song.genre for clip in clips],
            [clip.song.lyrics for clip in clips],
        )
        codes = model.upsample(
            [top, middle], labels, seed=seed, first_sample=first, max_batch_size=len(clips)
        )
        sounds["drawn"] = _unfiltered(model.vqvae, codes[-1])
    return {name: sound.half().cpu().contiguous() for name, sound in sounds.items()}


@torch.no_grad()
def _unfiltered(vqvae: JukeboxVQVAE, codes: Tensor) -> Tensor:
    """What the bottom decoder makes of codes int64 [B, T], without filter: float32 [B, samples]."""
    before, vqvae.post_filter = vqvae.post_filter, None
    try:
        return vqvae.decode_chunked(codes, Level.BOTTOM)[..., 0]
    finally:
        vqvae.post_filter = before
