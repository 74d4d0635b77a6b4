"""`jukebox generate`: the model library alone, no service; a WAV at the end."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from cli import options, raw_ids
from cli.commands.song_request import show_warnings
from cli.errors import UsageError
from cli.local_model import (
    Backend,
    Device,
    FusedStep,
    ModelName,
    NativeStep,
    WeightsKind,
    device_and_dtype,
    model_directory,
    wanted_backend,
)
from cli.local_song import Beginning, draw, write_codes
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
from jukebox_core.labels import JukeboxTokenizer, Labels, LyricsFormat, read_lyrics
from jukebox_core.labels.raw_ids import ArtistId, GenreIds
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


def generate(
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
    artist: options.Artist = "",
    genre: options.Genre = "",
    artist_ids: raw_ids.ArtistIdOption = None,
    genre_numbers: raw_ids.GenreIdsOption = None,
    lyrics: options.Lyrics = "",
    lyrics_format: options.LyricsFormatOption = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0.01,
            help="Length of the audio (default: 10); with --continue, seconds to add.",
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            "--prompt", metavar="FILE", help="Audio to continue from; counts toward --seconds."
        ),
    ] = None,
    prompt_start: options.PromptStart = 0.0,
    prompt_seconds: options.PromptSeconds = None,
    continue_codes: Annotated[
        Path | None,
        typer.Option("--continue", metavar="CODES", help="Continue from codes (.safetensors)."),
    ] = None,
    upsample_codes: Annotated[
        Path | None,
        typer.Option(
            "--upsample", metavar="CODES", help="Generate the lower levels of these codes."
        ),
    ] = None,
    cut: options.Cut = None,
    sample: options.Sample = None,
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
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: options.LastLevel = "bottom",
    speed: options.Speed = None,
    channels: options.Channels = None,
    left_genre: options.LeftGenre = None,
    right_genre: options.RightGenre = None,
    backend: Backend = "auto",
    native_step: NativeStep = None,
    fused_step: FusedStep = None,
    weights: WeightsKind = "auto",
    device: Device = "auto",
    data_dir: options.DataPlace = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """Generate a song on this machine, without a service."""
    beginning = Beginning(
        seconds=seconds,
        prompt=prompt,
        prompt_start=prompt_start,
        prompt_seconds=prompt_seconds,
        continue_codes=continue_codes,
        upsample_codes=upsample_codes,
        cut=cut,
        sample=sample,
    )
    directory = model_directory(model, options.models_folder(data_dir, models_dir))
    levels = [Level.from_label(name) for name in options.levels_down_to(stop_after)]
    params = SamplingParams() if temperature is None else SamplingParams(temperature=temperature)
    seed = secrets.randbelow(2**53) if seed is None else seed
    files = _SongFiles.of(
        output or _DEFAULT_OUTPUT,
        save_codes,
        seed=seed,
        takes=beginning.num_takes(takes),
        overwrite=overwrite,
    )
    words = options.lyrics_text(lyrics)
    artist_id, genre_ids = raw_ids.artist_id(artist_ids), raw_ids.genre_ids(genre_numbers)
    jukebox, loaded = _load(directory, device, weights)
    chosen = jukebox.use_backend(wanted_backend(backend, native_step, fused_step))
    labels = _read_labels(
        jukebox.tokenizer,
        artist,
        genre,
        words,
        lyrics_format or "auto",
        artist_id=artist_id,
        genre_ids=genre_ids,
    )
    stereo = _stereo(
        jukebox.tokenizer,
        artist,
        words,
        lyrics_format or "auto",
        artist_id,
        options.wanted_channels(channels, left_genre, right_genre),
        (left_genre, right_genre),
    )
    with level_display(notes()) as display:
        how: SongOptions = {
            "song_duration_sec": song_seconds,
            "offset_sec": offset,
            "sampling": dict.fromkeys(levels, params),
            "levels": levels,
            "seed": seed,
            "speed": speed or "exact",
            "progress": _Reporter(display),
        }
        codes = draw(jukebox, labels, takes, beginning, **(how | stereo))
    notes().print(f"seed {seed}, {chosen} backend, {loaded} weights")
    files.write(jukebox, codes, seed=seed)


def _read_labels(
    tokenizer: JukeboxTokenizer,
    artist: str,
    genre: str,
    lyrics: str,
    lyrics_format: LyricsFormat,
    *,
    artist_id: ArtistId | None,
    genre_ids: GenreIds | None,
) -> Labels:
    """The labels of the song, after writing what may not have been meant.

    Raises:
        LabelError: an id, the genre or the lyrics cannot be read.
    """
    labels = tokenizer(
        artist,
        genre,
        lyrics,
        artist_id=artist_id,
        genre_ids=genre_ids,
        lyrics_format=lyrics_format,
    )
    warnings = (
        *lyrics_warnings(tokenizer, lyrics, lyrics_format),
        *name_warnings(
            labels.resolution[0][Level.TOP.label], artist, genre, lambda: LabelSearch(tokenizer)
        ),
    )
    as_read = tokenizer.lyrics_as_read(read_lyrics(lyrics, lyrics_format).text)
    show_warnings((warning.message for warning in warnings), lyrics, as_read)
    return labels


def _stereo(
    tokenizer: JukeboxTokenizer,
    artist: str,
    lyrics: str,
    lyrics_format: LyricsFormat,
    artist_id: ArtistId | None,
    channels: int | None,
    genres: Sequence[str | None],
) -> "SongOptions":
    """The options of the library for `--channels` and its genres.

    Raises:
        LabelError: a genre cannot be read.
        UsageError: mono has no genres of channels.
    """
    if channels is None:
        return {}
    if all(genre is None for genre in genres):
        return {"channels": channels}
    if channels == 1:
        raise UsageError("--left-genre and --right-genre require --channels 2")
    return {
        "channels": channels,
        "channel_labels": [
            None
            if genre is None
            else tokenizer(artist, genre, lyrics, artist_id=artist_id, lyrics_format=lyrics_format)
            for genre in genres
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
        write_codes_to = partial(write_codes, codes=codes, model=jukebox.config.name)
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


def _load(directory: Path, device: str, wanted: str) -> "tuple[JukeboxModel, Weights]":
    """The model, and how its weights are kept in memory."""
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.checkpoints.load import read_directory_config, stored_weights
    from jukebox_core.model import JukeboxModel

    chosen, dtype = device_and_dtype(device)
    notes().print(f"loading {escape(str(directory))} on {chosen}")
    weights = choose_weights(
        read_directory_config(directory),
        device_type=chosen.type,
        stored=stored_weights(directory),
        wanted=wanted,
    )
    model = JukeboxModel.from_pretrained(directory, device=chosen, dtype=dtype, weights=weights)
    return model, weights
