"""Which pitch is sung, from codes alone: a network that knows nothing of the codec's heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.training.dataset.notes import LOWEST_MIDI, NUM_PITCH_CLASSES, UNKNOWN
from recipes.mini.evaluation.ground_truth import KnownSong

_WIDTH = 128
_SHOWN_WRONG_SHARE = 0.1
_BATCH_SIZE = 16
_LEARNING_RATE = 2e-3


@dataclass(frozen=True, slots=True)
class SungPitch:
    """One note: the middle of its time as a frame, and the class of its pitch."""

    frame: int
    pitch: int


def sung_pitches(song: KnownSong, num_frames: int, frames_per_second: float) -> list[SungPitch]:
    """The notes that are sung, of all whose middles lie in the frames.

    Notes that a lead plays in the place of the voice do not count: there is no vowel then.
    """
    if song.melody is None:
        return []
    found = []
    spans = [(span.start_sec, span.end_sec) for span in song.vowel_spans()]
    melody = song.melody
    for start_sec, end_sec, midi in zip(melody.start_sec, melody.end_sec, melody.midi, strict=True):
        middle_sec = (start_sec + end_sec) / 2
        frame = int(middle_sec * frames_per_second)
        pitch = round(float(midi)) - LOWEST_MIDI + 1
        is_sung = any(start <= middle_sec < end for start, end in spans)
        if is_sung and frame < num_frames and 1 <= pitch < NUM_PITCH_CLASSES:
            found.append(SungPitch(frame, pitch))
    return found


class PitchProbe(nn.Module):
    """Three convolutions over the vectors of codes: nine tokens, 0.14 s in `mini`."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        scaled = (vectors - vectors.mean(dim=0)) / vectors.std().clamp_min(1e-6)
        self.embedding = nn.Embedding(len(vectors), vectors.shape[1], _weight=scaled.clone())
        self.layers = nn.Sequential(
            nn.Conv1d(vectors.shape[1], _WIDTH, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(_WIDTH, NUM_PITCH_CLASSES, 1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, classes, T]."""
        vectors = self.embedding(codes).transpose(1, 2)
        dropped: Tensor = functional.dropout(vectors, _SHOWN_WRONG_SHARE, self.training)
        logits: Tensor = self.layers(dropped)
        return logits


def teach_pitch(
    vectors: Tensor, codes: Tensor, songs: Sequence[KnownSong], frames_per_second: float, steps: int
) -> PitchProbe:
    """A probe that has learnt from codes int64 [N, T] of `songs`; the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        probe = PitchProbe(vectors).train()
        truth = torch.full(codes.shape, UNKNOWN)
        for row, song in zip(truth, songs, strict=True):
            for note in sung_pitches(song, len(row), frames_per_second):
                row[max(note.frame - 1, 0) : note.frame + 2] = note.pitch
        optimizer = torch.optim.AdamW(probe.parameters(), _LEARNING_RATE, weight_decay=0.05)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * (1 - step / steps)
            rows = torch.randint(len(codes), (min(_BATCH_SIZE, len(codes)),))
            wrong = functional.cross_entropy(
                probe(codes[rows]), truth[rows], ignore_index=UNKNOWN, reduction="sum"
            )
            loss = wrong / (truth[rows] != UNKNOWN).sum().clamp_min(1)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return probe.eval()


@torch.no_grad()
def pitches_found(
    probe: PitchProbe, codes: Tensor, songs: Sequence[KnownSong], frames_per_second: float
) -> list[list[bool]]:
    """For every song and sung note whether the exact semitone is found at its middle."""
    heard = probe(codes)[:, 1:].argmax(dim=1) + 1
    return [
        [
            int(row[note.frame]) == note.pitch
            for note in sung_pitches(song, len(row), frames_per_second)
        ]
        for row, song in zip(heard, songs, strict=True)
    ]
