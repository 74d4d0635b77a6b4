"""`jukebox generate`: the model library alone, no service; a WAV at the end."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.console import escape, notes, results
from cli.errors import UsageError
from cli.progress import LevelDisplay, LevelState, level_display
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level

if TYPE_CHECKING:
    from torch import Tensor

    from jukebox_core.model import JukeboxModel


def generate(
    model: Annotated[str, typer.Option("--model", help="A folder, or a name in --models-dir.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path(
        "song.wav"
    ),
    artist: options.Artist = "",
    genre: options.Genre = "",
    lyrics: options.Lyrics = "",
    seconds: options.Seconds = 10.0,
    song_seconds: options.SongSeconds = None,
    offset: options.Offset = 0.0,
    takes: options.Takes = 1,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    stop_after: options.LastLevel = "bottom",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """Sing without a service: the library alone, on this machine."""
    directory = _model_directory(model, options.models_folder(data_dir, models_dir))
    levels = [Level.from_label(name) for name in options.levels_down_to(stop_after)]
    params = SamplingParams() if temperature is None else SamplingParams(temperature=temperature)
    seed = secrets.randbelow(2**53) if seed is None else seed
    jukebox = _load(directory, device)
    labels = jukebox.tokenizer(artist, genre, options.lyrics_text(lyrics))
    with level_display(notes()) as display:
        codes = jukebox.ancestral_sample(
            labels,
            takes,
            duration_sec=seconds,
            song_duration_sec=song_seconds,
            offset_sec=offset,
            sampling=dict.fromkeys(levels, params),
            levels=levels,
            seed=seed,
            progress=_Reporter(display),
        )
    notes().print(f"seed {seed}")
    _write(jukebox, codes, output)


class _Reporter:
    """Passes the library's progress on to the screen."""

    def __init__(self, display: LevelDisplay) -> None:
        self._display = display

    def __call__(self, level: Level, tokens_done: int, tokens_total: int) -> None:
        """Show that `level` has `tokens_done` of its tokens."""
        self._display.show(
            [LevelState(level=level.label, tokens_done=tokens_done, tokens_total=tokens_total)]
        )


def _model_directory(model: str, folder: Path) -> Path:
    for directory in (Path(model), folder / model):
        if (directory / "config.json").is_file():
            return directory
    raise UsageError(
        f"no model in {model!r}, nor a folder of that name in {folder}. "
        f"`jukebox models tiny {folder / 'tiny'}` writes a tiny one."
    )


def _load(directory: Path, device: str) -> "JukeboxModel":
    # Imported here: torch takes seconds to load, and no other command needs it.
    import torch

    from jukebox_core.model import JukeboxModel

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    is_gpu = torch.device(device).type == "cuda"
    dtype = torch.float16 if is_gpu else torch.float32
    notes().print(f"loading {escape(str(directory))} on {device}")
    return JukeboxModel.from_pretrained(directory, device=device, dtype=dtype)


def _write(jukebox: "JukeboxModel", codes: "list[Tensor]", output: Path) -> None:
    from jukebox_core.audio import write_audio

    audio = jukebox.decode(codes).cpu()
    output.parent.mkdir(parents=True, exist_ok=True)
    for take, sound in enumerate(audio):
        name = output if len(audio) == 1 else output.with_stem(f"{output.stem}-{take}")
        write_audio(name, sound, jukebox.config.vqvae.sample_rate_hz)
        results().print(escape(str(name)))
