"""Where the sound of a job goes, and fetching it: shared by all commands that download songs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Self

from cli.errors import UsageError
from cli.outputs import HERE, SOUND_FORMATS, OutputPath, move_into_place
from cli.terminal.console import escape, notes, results
from jobs.files.download_names import download_name, song_name
from jukebox_client import Job, JukeboxClient, Output, audio_outputs
from jukebox_client.outputs import named_sha256
from jukebox_client.part_file import sha256_of


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
        # Names that are taken in a folder get a number: all that matters is that it can be written.
        names = [f"{'x' * 60}-{take}" for take in range(num_takes)]
        files = output.files(names)
        if takes is None and not output.is_folder:
            files += output.files(["", ""])
        output.check_writable(files, overwrite=overwrite)
        return target

    def files(self, job: Job, outputs: Sequence[Output]) -> list[Path]:
        """The path of each of `outputs`."""
        names = [_name(job, each, self.format_of(job)) for each in outputs]
        return self.output.files(names, [each.sample for each in outputs])

    def format_of(self, job: Job) -> str:
        """The format that is fetched."""
        return self.audio_format or job.input.audio_format


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTarget:
    """Where an archive goes, and the format of its sounds; None: as the job made them."""

    output: OutputPath
    audio_format: str | None
    overwrite: bool

    @classmethod
    def of(cls, output: OutputPath | None, said_format: str | None, *, overwrite: bool) -> Self:
        """The target. Raises UsageError: the file does not end in `.zip`."""
        output = output or HERE
        output.format_among({"zip": "zip"})
        return cls(output=output, audio_format=said_format, overwrite=overwrite)


def download_archive(client: JukeboxClient, job: Job, target: ArchiveTarget) -> None:
    """Fetch everything of a job as a ZIP file, and print its path.

    Raises:
        UsageError: the file exists and is not to be replaced.
        DownloadFailed: it did not arrive.
    """
    song = song_name(job.title, job.input.artist, job.id)
    (path,) = target.output.files([download_name(song, "zip", job_id=job.id)])
    target.output.check_writable([path], overwrite=target.overwrite)
    move = partial(move_into_place, overwrite=target.overwrite)
    place = client.download_archive(job.id, path, format=target.audio_format, move=move)
    results().print(escape(str(place)))


def _name(job: Job, output: Output, suffix: str) -> str:
    """What the service calls the file, by the title of the job."""
    is_finest = output.level == job.progress.levels[-1].level
    return download_name(
        song_name(job.title, job.input.artist, job.id),
        suffix,
        sample=output.sample,
        level=None if is_finest else output.level,
        job_id=job.id,
    )


def download_all(
    client: JukeboxClient,
    job: Job,
    target: SoundTarget,
    *,
    level: str | None = None,
    take: int | None = None,
    may_refuse: bool = False,
    are_paths_results: bool = True,
) -> list[Path]:
    """Fetch the takes of one level, or one take; print and return the paths.

    A file that is there already, with the hash that the job names, is not fetched again, whether it
    has its own name or, since another song has the same title, a number of it. With
    `may_refuse` the others are checked before anything is fetched; without, a name that is taken
    gets a number.

    Raises:
        OutputNotFound: there is no such sound.
        UsageError: a file exists and is not to be replaced.
        DownloadFailed: it did not arrive.
    """
    outputs = audio_outputs(job, level=level, sample=take)
    audio_format = target.format_of(job)
    wanted = list(zip(outputs, target.files(job, outputs), strict=True))
    there = {path: _found(output, path, audio_format) for output, path in wanted}
    if may_refuse:
        missing = [path for path, found in there.items() if found is None]
        target.output.check_writable(missing, overwrite=target.overwrite)
    paths = []
    for output, path in wanted:
        place = there[path]
        if place is None:
            place = client.download_audio(
                job,
                path,
                level=output.level,
                sample=output.sample,
                format=audio_format,
                move=partial(move_into_place, overwrite=target.overwrite),
            )
        (results() if are_paths_results else notes()).print(escape(str(place)))
        paths.append(place)
    return paths


def _found(output: Output, path: Path, audio_format: str) -> Path | None:
    """Where a sound has been fetched to before; None where no file has its hash."""
    sha256 = named_sha256(output, audio_format)
    if sha256 is None:
        return None
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    taken = takewhile(Path.is_file, chain([path], numbered))
    return next((each for each in taken if sha256_of(each) == sha256), None)
