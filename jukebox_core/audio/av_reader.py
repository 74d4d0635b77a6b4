"""Sound that libsndfile cannot read: M4A, AAC and WebM through PyAV, an optional extra."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jukebox_core.errors import AudioError


class AvSound:
    """The first audio stream of a file.

    Raises:
        AudioError: PyAV is not installed, or the file has no sound that it can decode.
    """

    def __init__(self, path: Path) -> None:
        self._av = _import_av()
        self._path = path
        with self._opened() as container:
            stream = self._stream(container)
            self.sample_rate_hz: int = stream.rate
            self.num_channels: int = stream.channels

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """float32 [n, channels], as long as frames can be decoded.

        Raises:
            AudioError: the file cannot be decoded to its end.
        """
        resampler = self._av.AudioResampler(format="fltp", rate=self.sample_rate_hz)
        try:
            with self._opened() as container:
                for frame in container.decode(self._stream(container)):
                    for part in resampler.resample(frame):
                        yield part.to_ndarray().T.astype(np.float32, copy=False)
                for part in resampler.resample(None):
                    yield part.to_ndarray().T.astype(np.float32, copy=False)
        except self._av.FFmpegError as error:
            raise AudioError("the sound breaks off: it cannot be decoded to its end") from error

    def _opened(self) -> Any:  # noqa: ANN401  (PyAV is optional)
        try:
            return self._av.open(str(self._path), "r")
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise AudioError("the file cannot be read as sound") from error

    @staticmethod
    def _stream(container: Any) -> Any:  # noqa: ANN401
        if not container.streams.audio:
            raise AudioError("the file has no sound in it")
        return container.streams.audio[0]


def _import_av() -> Any:  # noqa: ANN401
    try:
        import av
    except ImportError as error:
        raise AudioError(
            "M4A, AAC and WebM files need PyAV, which is not installed here: "
            "`pip install 'jukebox-service[formats]'`, or convert the file to WAV, FLAC or MP3"
        ) from error
    return av
