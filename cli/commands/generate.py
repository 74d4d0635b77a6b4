"""`jukebox generate`: the model library alone, no service; a WAV at the end."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from cli import options
from cli.commands.song_options import Labels, Sampling, levels_down_to
from cli.commands.song_request import show_warnings
from cli.errors import UsageError
from cli.local_model import (
    Computing,
    ModelName,
    check_memory,
    device_and_dtype,
    model_directory,
)
from cli.local_song import Beginning, draw, write_codes
from cli.option_groups import grouped
from cli.outputs import (
    CODES_FORMATS,
    SOUND_FORMATS,
    FilesWriter,
    OutputPath,
    Overwrite,
    keep,
    output_path,
)
from cli.progress import LevelDisplay, LevelState, level_display
from cli.terminal.console import escape, notes
from jukebox_core.backends.choose import choose_weights
from jukebox_core.labels import JukeboxTokenizer, read_lyrics
from jukebox_core.labels import Labels as JukeboxLabels
from jukebox_core.labels.search import LabelSearch
from jukebox_core.labels.warnings import lyrics_warnings, name_warnings
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

_DEFAULT_OUTPUT = OutputPath(Path("song.wav"), is_folder=False, is_default=True)

if TYPE_CHECKING:
    from torch import Tensor

    from jukebox_core.config import Weights
    from jukebox_core.model import JukeboxModel
    from jukebox_core.sampling.options import SongOptions


@grouped
def generate(
    *,
    model: ModelName = None,
    output: Annotated[
        OutputPath | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=output_path,
            help="File (.wav, .flac, .ogg, .mp3) or FOLDER/ (default: song.wav).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    labels: Labels,
    beginning: Beginning,
    save_codes: Annotated[
        OutputPath | None,
        typer.Option(
            metavar="PATH",
            parser=output_path,
            help="Also save the codes (.safetensors, or FOLDER/).",
        ),
    ] = None,
    song_seconds: options.SongSeconds = None,
    offset: options.Offset = 0.0,
    takes: options.Takes = 1,
    sampling: Sampling,
    computing: Computing,
    places: options.Places,
) -> None:
    """Generate a song on this machine, without a service."""
    directory = model_directory(model, places.models_folder)
    levels = [Level.from_label(name) for name in levels_down_to(sampling.stop_after)]
    seed = secrets.randbelow(2**53) if sampling.seed is None else sampling.seed
    files = _SongFiles.of(
        output or _DEFAULT_OUTPUT,
        save_codes,
        seed=seed,
        takes=beginning.num_takes(takes),
        overwrite=overwrite,
    )
    asked = _asked_of_tokenizer(labels)
    jukebox, loaded = _load(directory, computing)
    chosen = jukebox.use_backend(computing.wanted_backend())
    read = _read_labels(jukebox.tokenizer, asked)
    stereo = _stereo(jukebox.tokenizer, asked, sampling)
    with level_display(notes()) as display:
        how: SongOptions = {
            "song_duration_sec": song_seconds,
            "offset_sec": offset,
            "sampling": dict.fromkeys(levels, _params(sampling)),
            "levels": levels,
            "seed": seed,
            "speed": sampling.speed or "exact",
            "progress": _Reporter(display),
        }
        codes = draw(jukebox, read, takes, beginning, **(how | stereo))
    notes().print(f"seed {seed}, {chosen} backend, {loaded} weights")
    files.write(jukebox, codes, seed=seed)


def _params(sampling: Sampling) -> SamplingParams:
    if sampling.temperature is None:
        return SamplingParams()
    return SamplingParams(temperature=sampling.temperature)


def _asked_of_tokenizer(labels: Labels) -> dict[str, Any]:
    """What a tokenizer is called with. Raises as `Labels.fields`."""
    asked = labels.fields()
    genres = asked.pop("genre")
    return asked | {"genres": genres, "lyrics_format": labels.lyrics_format or "auto"}


def _read_labels(tokenizer: JukeboxTokenizer, asked: dict[str, Any]) -> JukeboxLabels:
    """The labels of the song, after writing what may not have been meant.

    Raises:
        LabelError: an id, the genre or the lyrics cannot be read.
    """
    labels = tokenizer(**asked)
    lyrics, lyrics_format = asked["lyrics"], asked["lyrics_format"]
    found = labels.resolution[0][Level.TOP.label]
    warnings = (
        *lyrics_warnings(tokenizer, lyrics, lyrics_format),
        *name_warnings(found, asked["artist"], asked["genres"], lambda: LabelSearch(tokenizer)),
    )
    as_read = tokenizer.lyrics_as_read(read_lyrics(lyrics, lyrics_format).text)
    show_warnings((warning.message for warning in warnings), lyrics, as_read)
    return labels


def _stereo(
    tokenizer: JukeboxTokenizer, asked: dict[str, Any], sampling: Sampling
) -> "SongOptions":
    """The options of the library for `--channels` and its genres.

    Raises:
        LabelError: a genre cannot be read.
        UsageError: mono has no genres of channels.
    """
    channels = sampling.num_channels
    if channels is None:
        return {}
    if sampling.genres is None:
        return {"channels": channels}
    if channels == 1:
        raise UsageError("--left-genre and --right-genre require --channels 2")
    return {
        "channels": channels,
        "channel_labels": [
            None if genre is None else tokenizer(**asked | {"genres": genre, "genre_ids": None})
            for genre in sampling.genres
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _SongFiles:
    """Where a song goes: a sound file for each take, and its codes."""

    sounds: Sequence[Path]
    codes: Path | None
    overwrite: bool

    @classmethod
    def of(
        cls,
        output: OutputPath,
        save_codes: OutputPath | None,
        *,
        seed: int,
        takes: int,
        overwrite: bool,
    ) -> Self:
        """The files that the options name, which are found to be writable.

        Raises:
            UsageError: a format is unknown, a file exists, or a folder cannot be written to.
        """
        audio_format = output.format_among(SOUND_FORMATS) or "wav"
        ends = [""] if takes == 1 else [f"-{take}" for take in range(takes)]
        sounds = output.files([f"song-{seed}{end}.{audio_format}" for end in ends])
        output.check_writable(sounds, overwrite=overwrite)
        codes = None
        if save_codes is not None:
            save_codes.format_among(CODES_FORMATS, option="--save-codes")
            (codes,) = save_codes.files([f"song-{seed}.safetensors"])
            save_codes.check_writable([codes], overwrite=overwrite)
        return cls(sounds=sounds, codes=codes, overwrite=overwrite)

    def write(self, jukebox: "JukeboxModel", codes: "list[Tensor]", *, seed: int) -> None:
        """Write everything. The codes, from which the sound can be had again, are never lost.

        Raises:
            CliError: something is not where it was wanted; the message says where it is.
        """
        files = FilesWriter(overwrite=self.overwrite)
        write_codes_to = partial(write_codes, codes=codes, jukebox=jukebox)
        if self.codes is not None:
            files.write(self.codes, write_codes_to)
        try:
            self._write_sounds(files, jukebox, codes, seed=seed)
        except BaseException:
            kept = self.codes or keep(f"song-{seed}.safetensors", write_codes_to)
            if kept is not None:
                notes().print(escape(f"The codes of the song are kept in {kept}"))
            raise
        files.raise_failures()

    def _write_sounds(
        self, files: FilesWriter, jukebox: "JukeboxModel", codes: "list[Tensor]", *, seed: int
    ) -> None:
        from jukebox_core.audio import write_audio

        audio = jukebox.decode(codes).cpu()
        for take, (target, sound) in enumerate(zip(self.sounds, audio, strict=True)):
            write = partial(
                write_audio,
                audio=sound,
                sample_rate_hz=jukebox.config.vqvae.sample_rate_hz,
                comment=f"Generated by a machine: {jukebox.config.name}, seed {seed}, take {take}.",
            )
            files.write(target, write)


class _Reporter:
    """Passes the library's progress on to the screen."""

    def __init__(self, display: LevelDisplay) -> None:
        self._display = display

    def __call__(self, level: Level, tokens_done: int, tokens_total: int) -> None:
        """Show that `level` has `tokens_done` of its tokens."""
        self._display.show(
            [LevelState(level=level.label, tokens_done=tokens_done, tokens_total=tokens_total)]
        )


def _load(directory: Path, computing: Computing) -> "tuple[JukeboxModel, Weights]":
    """The model, and how its weights are kept in memory."""
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints.load import read_directory_config, stored_weights
    from jukebox_core.model import JukeboxModel

    chosen, dtype = device_and_dtype(computing.device)
    notes().print(f"loading {escape(str(directory))} on {chosen}")
    config = read_directory_config(directory)
    weights = choose_weights(
        config,
        device_type=chosen.type,
        stored=stored_weights(directory),
        wanted=computing.weights,
    )
    if chosen.type == "cpu":
        check_memory(directory.name, config, dtype, weights)
    model = JukeboxModel.from_pretrained(directory, device=chosen, dtype=dtype, weights=weights)
    return model, weights
