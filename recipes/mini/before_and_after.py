"""`python -m recipes.mini.before_and_after BEFORE AFTER FOLDER`: two models, seen and heard.

Writes `songs.png`, spectrograms of the same songs (a row each): true, rendered from its own codes
by either model, drawn by either; and what AFTER drew as small Ogg files.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cli.terminal.picture import Floats, Pixels, colors, spectrogram, write_png
from jukebox_core.audio import write_audio
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from recipes.mini.evaluation.features import decode_clips, encode_clips, whole_tokens
from recipes.mini.evaluation.generated_songs import Asked, labels_of
from recipes.mini.evaluation.ground_truth import KnownSong, clips_of, composed_song
from recipes.mini.evaluation.process_pool import loaded_model
from recipes.mini.evaluation.seeds import Seeds
from recipes.mini.synth import ARTISTS, GENRES

NUM_SONGS, NUM_PICTURED = 8, 3
DURATION_SEC = 10.0
SEED_OFFSET = 7
_COLUMNS, _ROWS, _GAP_PIXELS = 240, 128, 6


@dataclass(frozen=True, slots=True, eq=False)
class Sounds:
    """The same songs five times over, float32 [songs, samples] each."""

    true: Tensor
    rendered_before: Tensor
    rendered_after: Tensor
    drawn_before: Tensor
    drawn_after: Tensor

    def columns(self) -> tuple[Tensor, ...]:
        """From the left."""
        return (
            self.true,
            self.rendered_before,
            self.rendered_after,
            self.drawn_before,
            self.drawn_after,
        )


def asked_songs(num_songs: int, sample_rate_hz: int) -> list[KnownSong]:
    """Songs of the evaluation's seeds that no figure is published of; no two of the same pair."""
    seeds = Seeds(SEED_OFFSET)
    pairs = [(genre, artist) for genre in GENRES for artist in ARTISTS]
    order = np.random.default_rng(SEED_OFFSET).permutation(len(pairs))
    return [
        composed_song(
            seeds.asked_song(number),
            duration_sec=DURATION_SEC,
            sample_rate_hz=sample_rate_hz,
            genre=pairs[order[number % len(pairs)]][0],
            artist=pairs[order[number % len(pairs)]][1],
        )
        for number in range(num_songs)
    ]


def draw(directory: Path, songs: Sequence[KnownSong]) -> Tensor:
    """Bottom codes int64 [songs, T] of the model's own songs with these labels and words."""
    model = loaded_model(directory, "cpu")
    asked = [
        Asked(
            genre=GENRES.index(song.genre),
            artist=ARTISTS.index(song.artist),
            lyrics=song.lyrics,
            sample=number,
        )
        for number, song in enumerate(songs)
    ]
    codes = model.ancestral_sample(
        labels_of(model, asked),
        duration_sec=DURATION_SEC,
        seed=Seeds(SEED_OFFSET).chance,
        max_batch_size=len(songs),
    )
    return codes[-1].cpu()


def sounds_of(
    songs: Sequence[KnownSong],
    before: JukeboxVQVAE,
    after: JukeboxVQVAE,
    drawn: tuple[Tensor, Tensor],
) -> Sounds:
    """All the sounds; `drawn` are the bottom codes that either model drew."""
    num_samples = whole_tokens(round(DURATION_SEC * songs[0].sample_rate_hz), after.config)
    true = clips_of(songs, num_samples)
    rendered = [
        decode_clips(vqvae, encode_clips(vqvae, true, Level.BOTTOM), Level.BOTTOM)
        for vqvae in (before, after)
    ]
    sung = [
        decode_clips(vqvae, codes, Level.BOTTOM)
        for vqvae, codes in zip((before, after), drawn, strict=True)
    ]
    return Sounds(true, *rendered, *sung)


def write_comparison(folder: Path, sounds: Sounds, sample_rate_hz: int) -> None:
    """Write `songs.png` and `drawn-0.ogg` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        np.concatenate(
            [_picture(sound[number].numpy(), sample_rate_hz) for sound in sounds.columns()], axis=1
        )
        for number in range(min(NUM_PICTURED, len(sounds.true)))
    ]
    write_png(folder / "songs.png", np.concatenate(rows))
    for number, sound in enumerate(sounds.drawn_after):
        write_audio(folder / f"drawn-{number}.ogg", sound, sample_rate_hz)


def _picture(audio: Floats, sample_rate_hz: int) -> Pixels:
    picture = colors(spectrogram(audio, sample_rate_hz, num_columns=_COLUMNS, num_rows=_ROWS))
    return np.pad(picture, ((0, _GAP_PIXELS), (0, _GAP_PIXELS), (0, 0)))


def main() -> None:
    """Draw, render and write."""
    before, after, folder = map(Path, sys.argv[1:4])
    torch.set_num_threads(1)
    codecs = [loaded_model(directory, "cpu").vqvae for directory in (before, after)]
    rate_hz = codecs[1].config.sample_rate_hz
    songs = asked_songs(NUM_SONGS, rate_hz)
    drawn = (draw(before, songs), draw(after, songs))
    write_comparison(folder, sounds_of(songs, codecs[0], codecs[1], drawn), rate_hz)


if __name__ == "__main__":
    main()
