"""The one reader of sound files: library, command line, training and service read with it.

Its rules:

* What decodes counts. A length in a header never limits what is read, and a file whose end is
  missing is refused.
* All channels are folded to one by their mean.
* A sample that is not finite is silence. Nothing is clipped or scaled: samples beyond [-1, 1], as
  floating-point files and lossy decoders have them, are passed on as they are.

WAV, AIFF, FLAC, OGG and MP3 are read with libsndfile, M4A, AAC and WebM with PyAV
(`audio/av_reader.py`) where that is installed. No torch.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from jukebox_core.audio.av_reader import AvSound
from jukebox_core.audio.files import BLOCK_FRAMES
from jukebox_core.audio.headers import SoundKind, read_layout, sniff_kind
from jukebox_core.audio.pieces import Piece, PieceFile, SoundLayout
from jukebox_core.errors import AudioError

Samples = NDArray[np.float32]

_WAV_ENCODINGS = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
)
"""Other encodings inside WAV and AIFF files are rare, and their decoders little tested."""
_UNKNOWN_FRAMES = 2**40
"""libsndfile names a number beyond this where the header names none."""
_MP3_TOLERANCE_FRAMES = 4 * 1152
"""Decoders leave out the encoder's delay and padding."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Does not seek after every block: a FLAC file of unknown length cannot."""

    def seekable(self) -> bool:
        return False


class SoundReader:
    """A sound file, opened. Reads it as mono at its own sample rate.

    `named_frames` is the length that the file names or that was counted, None where it is unknown;
    `num_frames` is how many were decoded so far.

    Raises:
        AudioError: there is no file, it is no sound, its end is missing, or it needs a decoder
            that is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise AudioError(f"there is no sound file {path}")
        self.num_frames = 0
        self.kind = sniff_kind(self.path)
        if self.kind.needs_av:
            sound = AvSound(self.path)
            self.sample_rate_hz, self.num_channels = sound.sample_rate_hz, sound.num_channels
            self.named_frames: int | None = None
            return
        self._layout: SoundLayout = read_layout(self.path, self.kind)
        first, *others = [self._look_at(piece) for piece in self._layout.pieces]
        self.sample_rate_hz, self.num_channels = first.samplerate, first.channels
        for other in others:
            if other.samplerate != first.samplerate:
                raise AudioError(
                    f"the file is several streams in a row, of {first.samplerate} Hz and of "
                    f"{other.samplerate} Hz: convert it to one of one sample rate"
                )
        self.named_frames = self._layout.num_frames or _sum_of_lengths([first, *others])

    def blocks(self, *, start_frame: int = 0, num_frames: int | None = None) -> Iterator[Samples]:
        """float32 [n] from a frame on, in blocks of at most `BLOCK_FRAMES`.

        Raises:
            AudioError: it cannot be decoded, or ends before the file says.
        """
        place = 0
        end = None if num_frames is None else start_frame + num_frames
        for block in self._decoded():
            first, last = max(start_frame - place, 0), len(block)
            if end is not None:
                last = min(end - place, last)
            place += len(block)
            if first < last:
                self.num_frames += last - first
                yield block[first:last]
            if end is not None and place >= end:
                return
        self._check_end(place)

    def read(self, *, start_frame: int = 0, num_frames: int | None = None) -> Samples:
        """All of it, or a part, as float32 [n]. Raises AudioError as `blocks` does."""
        blocks = list(self.blocks(start_frame=start_frame, num_frames=num_frames))
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def _decoded(self) -> Iterator[Samples]:
        if self.kind.needs_av:
            blocks = AvSound(self.path).blocks()
        else:
            blocks = (block for piece in self._layout.pieces for block in self._decode(piece))
        for block in blocks:
            mono = block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                finite = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
                mono = finite.mean(axis=1, dtype=np.float32)
            yield mono

    def _decode(self, piece: Piece) -> Iterator[NDArray[np.float32]]:
        """float32 [n, channels]."""
        with closing(PieceFile(self.path, piece)) as source, _open(source) as file:
            try:
                while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                    yield block
            except soundfile.SoundFileError as error:
                raise AudioError("the sound breaks off: it cannot be decoded to its end") from error

    def _look_at(self, piece: Piece) -> Any:  # noqa: ANN401  (soundfile has no types)
        with closing(PieceFile(self.path, piece)) as source, _open(source) as file:
            if self.kind in (SoundKind.WAV, SoundKind.AIFF) and file.subtype not in _WAV_ENCODINGS:
                raise AudioError(f"the file holds {file.subtype}: convert it to plain samples")
            return file

    def _check_end(self, num_decoded: int) -> None:
        if num_decoded == 0:
            raise AudioError("the sound has no length")
        if self.named_frames is None:
            return
        tolerance = _MP3_TOLERANCE_FRAMES if self.kind is SoundKind.MP3 else 0
        if num_decoded < self.named_frames - tolerance:
            raise AudioError(
                f"the sound breaks off: {num_decoded} of {self.named_frames} frames can be decoded"
            )


def _open(source: PieceFile) -> _Sequential:
    try:
        return _Sequential(source)
    except soundfile.SoundFileError as error:
        raise AudioError("the file cannot be read as sound") from error


def _sum_of_lengths(files: list[Any]) -> int | None:
    if any(file.frames >= _UNKNOWN_FRAMES for file in files):
        return None
    return sum(int(file.frames) for file in files)
