"""Where the sound of a job goes, and fetching it: shared by all commands that download songs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cli.errors import UsageError
from cli.outputs import HERE, SOUND_FORMATS, OutputPath
from cli.service.client import JobView, JukeboxClient
from cli.service.download import audio_outputs, download_audio, named_sha256, sha256_of
from cli.terminal.console import escape, notes, results


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTarget:
    """What `-o`, `--format` and `--overwrite` ask for; `audio_format` None: as the job made it."""

    output: OutputPath = HERE
    audio_format: str | None = None
    overwrite: bool = False

    @classmethod
    def of(cls, output: OutputPath | None, said_format: str | None, *, overwrite: bool) -> Self:
        """The target; the suffix of a file decides the format.

        Raises:
            UsageError: the suffix is no format of sound, or contradicts `said_format`.
        """
        output = output or HERE
        audio_format = output.format_among(SOUND_FORMATS, said=said_format)
        return cls(output=output, audio_format=audio_format, overwrite=overwrite)

    @classmethod
    def of_new_job(
        cls,
        output: OutputPath | None,
        said_format: str | None,
        *,
        overwrite: bool,
        takes: int | None,
        no_wait: bool,
    ) -> Self | None:
        """The target of a job that is not posted yet; None if it is not to be downloaded.

        `takes` None: as many as the job goes on from, which only the service knows.

        Raises:
            UsageError: the files could not be written when the job is done.
        """
        if output is None:
            return None
        if no_wait:
            raise UsageError("--no-wait cannot be combined with -o")
        target = cls.of(output, said_format, overwrite=overwrite)
        num_takes = 1 if takes is None else takes
        # The names in a folder begin with the id of the job, which no file can have yet.
        names = [f"{'x' * 40}-{take}" for take in range(num_takes)]
        files = output.files(names)
        if takes is None and not output.is_folder:
            files += output.files(["", ""])
        output.check_writable(files, overwrite=overwrite)
        return target

    def files(self, job: JobView, outputs: Sequence[dict[str, Any]]) -> list[Path]:
        """The path of each of `outputs`."""
        suffix = self.format_of(job)
        names = [f"{job['id']}-{each['level']}-{each['sample']}.{suffix}" for each in outputs]
        return self.output.files(names, [int(each["sample"]) for each in outputs])

    def format_of(self, job: JobView) -> str:
        """The format that is fetched."""
        return self.audio_format or str(job["input"]["audio_format"])


def download_all(
    client: JukeboxClient,
    job: JobView,
    target: SoundTarget,
    *,
    level: str | None = None,
    take: int | None = None,
    may_refuse: bool = False,
    are_paths_results: bool = True,
) -> list[Path]:
    """Fetch the takes of one level, or one take; print and return the paths.

    A file that is there already, with the hash that the job names, is not fetched again. With
    `may_refuse` the others are checked before anything is fetched; without, a name that is taken
    gets a number.

    Raises:
        UsageError: there is no such sound, or a file exists and is not to be replaced.
        DownloadError: it did not arrive.
    """
    outputs = audio_outputs(job, level=level, take=take)
    audio_format = target.format_of(job)
    wanted = list(zip(outputs, target.files(job, outputs), strict=True))
    there = [path for output, path in wanted if _is_there(output, path, audio_format)]
    if may_refuse:
        missing = [path for _, path in wanted if path not in there]
        target.output.check_writable(missing, overwrite=target.overwrite)
    paths = []
    for output, path in wanted:
        place = path
        if path not in there:
            place = download_audio(
                client,
                job["id"],
                output,
                path,
                audio_format=audio_format,
                overwrite=target.overwrite,
            )
        (results() if are_paths_results else notes()).print(escape(str(place)))
        paths.append(place)
    return paths


def _is_there(output: dict[str, Any], path: Path, audio_format: str) -> bool:
    sha256 = named_sha256(output, audio_format)
    return sha256 is not None and path.is_file() and sha256_of(path) == sha256
