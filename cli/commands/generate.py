"""`jukebox generate`: the model library alone, no service; a WAV at the end."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options, raw_ids
from cli.console import escape, notes, results
from cli.local_model import (
    Device,
    FusedStep,
    ModelName,
    NativeStep,
    WeightsKind,
    device_and_dtype,
    model_directory,
)
from cli.local_song import Beginning, draw, write_codes
from cli.progress import LevelDisplay, LevelState, level_display
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

if TYPE_CHECKING:
    from torch import Tensor

    from jukebox_core.model import JukeboxModel


def generate(
    model: ModelName,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path(
        "song.wav"
    ),
    artist: options.Artist = "",
    genre: options.Genre = "",
    artist_ids: raw_ids.ArtistIdOption = None,
    genre_numbers: raw_ids.GenreIdsOption = None,
    lyrics: options.Lyrics = "",
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", min=0.01, help="Length of the sound, 10 by default; with --continue: more."
        ),
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option("--prompt", help="Sound to go on from; part of --seconds.")
    ] = None,
    prompt_start: options.PromptStart = 0.0,
    prompt_seconds: options.PromptSeconds = None,
    continue_codes: Annotated[
        Path | None,
        typer.Option("--continue", metavar="CODES", help="Go on from codes (.safetensors)."),
    ] = None,
    upsample_codes: Annotated[
        Path | None,
        typer.Option("--upsample", metavar="CODES", help="Draw what these codes lack below."),
    ] = None,
    cut: options.Cut = None,
    sample: options.Sample = None,
    save_codes: Annotated[
        Path | None, typer.Option(help="Also write the codes, to go on from (.safetensors).")
    ] = None,
    song_seconds: options.SongSeconds = None,
    offset: options.Offset = 0.0,
    takes: options.Takes = 1,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: options.LastLevel = "bottom",
    speed: options.Speed = None,
    native_step: NativeStep = "auto",
    fused_step: FusedStep = "off",
    weights: WeightsKind = "full",
    device: Device = "auto",
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """Sing without a service: the library alone, on this machine; in every mode."""
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
    jukebox = _load(directory, device, weights)
    step = jukebox.choose_step(native_step, fused=fused_step == "on")
    labels = jukebox.tokenizer(
        artist,
        genre,
        options.lyrics_text(lyrics),
        artist_id=raw_ids.artist_id(artist_ids),
        genre_ids=raw_ids.genre_ids(genre_numbers),
    )
    with level_display(notes()) as display:
        codes = draw(
            jukebox,
            labels,
            takes,
            beginning,
            song_duration_sec=song_seconds,
            offset_sec=offset,
            sampling=dict.fromkeys(levels, params),
            levels=levels,
            seed=seed,
            speed=speed or "exact",
            progress=_Reporter(display),
        )
    notes().print(f"seed {seed}, {step} step, {weights} weights")
    if save_codes is not None:
        write_codes(save_codes, codes, model=jukebox.config.name)
        results().print(escape(str(save_codes)))
    _write(jukebox, codes, output, seed=seed)


class _Reporter:
    """Passes the library's progress on to the screen."""

    def __init__(self, display: LevelDisplay) -> None:
        self._display = display

    def __call__(self, level: Level, tokens_done: int, tokens_total: int) -> None:
        """Show that `level` has `tokens_done` of its tokens."""
        self._display.show(
            [LevelState(level=level.label, tokens_done=tokens_done, tokens_total=tokens_total)]
        )


def _load(directory: Path, device: str, weights: str) -> "JukeboxModel":
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.model import JukeboxModel

    chosen, dtype = device_and_dtype(device)
    notes().print(f"loading {escape(str(directory))} on {chosen}")
    return JukeboxModel.from_pretrained(directory, device=chosen, dtype=dtype, weights=weights)


def _write(jukebox: "JukeboxModel", codes: "list[Tensor]", output: Path, *, seed: int) -> None:
    from jukebox_core.audio import write_audio

    audio = jukebox.decode(codes).cpu()
    output.parent.mkdir(parents=True, exist_ok=True)
    for take, sound in enumerate(audio):
        name = output if len(audio) == 1 else output.with_stem(f"{output.stem}-{take}")
        write_audio(
            name,
            sound,
            jukebox.config.vqvae.sample_rate_hz,
            comment=f"Generated by a machine: {jukebox.config.name}, seed {seed}, take {take}.",
        )
        results().print(escape(str(name)))
