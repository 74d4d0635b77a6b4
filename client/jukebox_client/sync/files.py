"""The files of jobs, and the files that jobs start from."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx

from jukebox_client.address import unreachable
from jukebox_client.answers import DEFAULT_RETRY_SEC, document_of, may_pass
from jukebox_client.errors import InvalidRequest, JukeboxClientError
from jukebox_client.files import FileInfo, file_info
from jukebox_client.live_wav import LiveWav
from jukebox_client.models import Asset, Job, Lyrics, Peaks
from jukebox_client.outputs import audio_outputs, named_sha256
from jukebox_client.paths import path_of
from jukebox_client.sync.transport import FILE_TIMEOUT_SEC, Transport, present


class Files(Transport):
    """Downloads, uploads, and what the service makes of the audio of a job."""

    def download_audio(
        self,
        job: Job,
        path: str | Path,
        *,
        level: str | None = None,
        sample: int = 0,
        format: str | None = None,
        overwrite: bool = False,
        move: Callable[[Path, Path], Path] | None = None,
    ) -> Path:
        """Fetch one take of a job to `path`: the finest finished level unless one is named.

        Formats that the job did not make are encoded when asked for. The hash is checked, and the
        rest is as for `download`.

        Raises:
            OutputNotFound: there is no such audio file yet.
        """
        (output,) = audio_outputs(job, level=level, sample=sample)
        wanted = format or output.format
        return self.download(
            path_of("jobs", job.id, "audio"),
            {"level": output.level, "sample": output.sample, "format": wanted},
            Path(path),
            sha256=named_sha256(output, wanted),
            etag_is_sha256=True,
            overwrite=overwrite,
            move=move,
        )

    def check_audio(
        self,
        job_id: str,
        *,
        level: str | None = None,
        sample: int | None = None,
        format: str | None = None,
    ) -> FileInfo:
        """Size, type and hash of an audio file."""
        params = present({"level": level, "sample": sample, "format": format})
        path = path_of("jobs", job_id, "audio")
        return file_info(self.request("HEAD", path, params=params, timeout=FILE_TIMEOUT_SEC))

    def stream_audio(
        self,
        job_id: str,
        *,
        sample: int | None = None,
        format: str | None = None,
        start_seconds: float | None = None,
    ) -> Iterator[bytes]:
        """A take as it is generated, `wav` (the default) or `ogg`, to the end of the job.

        WAV goes on where a connection broke; the stream ends when the iterator is closed.

        Raises:
            ServiceUnreachable: nobody answers for `patience_sec`, or a connection with `ogg` broke.
            ProblemError: the service refused.
        """
        path, options = path_of("jobs", job_id, "live"), {"sample": sample, "format": format}
        wav = LiveWav(start_seconds or 0.0) if format in (None, "wav") else None
        answered_at = time.monotonic()
        while True:
            params = present({**options, "start_seconds": start_seconds})
            timeout = httpx.Timeout(10.0, read=None)
            try:
                with self.open("GET", path, params=params, timeout=timeout) as response:
                    for data in response.iter_bytes():
                        answered_at = time.monotonic()
                        yield wav.pass_on(data) if wav else data
                return
            except httpx.TransportError as error:
                if wav is None or not wav.can_resume:
                    raise unreachable(self.base_url, error) from error
            except JukeboxClientError as error:
                if wav is None or not wav.can_resume:
                    raise
                if isinstance(error, InvalidRequest):
                    return  # it broke behind the last sample
                if not may_pass(error) or time.monotonic() - answered_at > self.patience_sec:
                    raise
            self._sleep(DEFAULT_RETRY_SEC)
            start_seconds = wav.resume_sec()

    def check_live(
        self,
        job_id: str,
        *,
        sample: int | None = None,
        format: str | None = None,
        start_seconds: float | None = None,
    ) -> None:
        """Raise the ProblemError with which `stream_audio` would be refused."""
        params = {"sample": sample, "format": format, "start_seconds": start_seconds}
        self.request("HEAD", path_of("jobs", job_id, "live"), params=present(params))

    def download_codes(
        self,
        job_id: str,
        path: str | Path,
        *,
        overwrite: bool = False,
        move: Callable[[Path, Path], Path] | None = None,
    ) -> Path:
        """Fetch the codes of all finished levels (safetensors) to `path`; see `download`."""
        source = path_of("jobs", job_id, "codes")
        return self.download(
            source, {}, Path(path), etag_is_sha256=True, overwrite=overwrite, move=move
        )

    def download_archive(
        self,
        job_id: str,
        path: str | Path,
        *,
        levels: str | None = None,
        format: str | None = None,
        overwrite: bool = False,
        move: Callable[[Path, Path], Path] | None = None,
    ) -> Path:
        """Fetch takes, lyrics, codes and the job as a ZIP file to `path`; see `download`.

        `levels` is `finest` or `all`. A broken connection begins again, since an archive has no
        ranges.
        """
        source = path_of("jobs", job_id, "archive")
        params = present({"levels": levels, "format": format})
        return self.download(source, params, Path(path), overwrite=overwrite, move=move)

    def check_codes(self, job_id: str) -> FileInfo:
        """Size and hash of the codes of a job."""
        return file_info(self.request("HEAD", path_of("jobs", job_id, "codes")))

    def download_alignment(
        self, job_id: str, *, sample: int | None = None, format: str | None = None
    ) -> str:
        """When each word of a take is sung: `json`, `lrc`, `lrc-lines` or `vtt`, as text."""
        params = present({"sample": sample, "format": format})
        path = path_of("jobs", job_id, "alignment")
        return (self.request("GET", path, params=params)).text

    def get_peaks(
        self,
        job_id: str,
        *,
        level: str | None = None,
        sample: int | None = None,
        points: int | None = None,
        bits: int | None = None,
    ) -> Peaks:
        """The waveform of an audio file: the lowest and highest sample of each of its parts."""
        params = {"level": level, "sample": sample, "points": points, "bits": bits}
        return self._get(Peaks, path_of("jobs", job_id, "peaks"), params)

    def get_spectrogram(
        self,
        job_id: str,
        *,
        level: str | None = None,
        sample: int | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> bytes:
        """A picture of an audio file (PNG); `width` and `height` in pixels."""
        params = {"level": level, "sample": sample, "width": width, "height": height}
        path = path_of("jobs", job_id, "spectrogram.png")
        return (self.request("GET", path, params=present(params))).content

    def get_lyrics(
        self, job_id: str, *, sample: int | None = None, next_seconds: float | None = None
    ) -> Lyrics:
        """The lyrics of a job as the model reads them: what is sung, left, and read next."""
        params = {"sample": sample, "next_seconds": next_seconds}
        return self._get(Lyrics, path_of("jobs", job_id, "lyrics"), params)

    def create_asset(
        self, file: str | Path | bytes | IO[bytes], *, filename: str | None = None
    ) -> Asset:
        """Upload a sound, or codes in safetensors. Whatever is lost on the way, it is one asset.

        Raises OSError when the file cannot be read.
        """
        if isinstance(file, (str, Path)):
            with Path(file).open("rb") as content:
                return self.create_asset(content, filename=filename or Path(file).name)
        files = {"file": (filename or "file", file)}
        response = self._once("POST", "/assets", files=files, timeout=FILE_TIMEOUT_SEC)
        return document_of(response, Asset)

    def get_asset(self, asset_id: str) -> Asset:
        """The properties of an uploaded file."""
        return self._get(Asset, path_of("assets", asset_id))

    def delete_asset(self, asset_id: str) -> None:
        """Delete an uploaded file; jobs have their own copy."""
        self.request("DELETE", path_of("assets", asset_id))
