"""`jukebox demo`: start everything, sing ten seconds, save them, stop everything."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from cli import options
from cli.commands.downloads import SoundTarget, download_all
from cli.commands.follow import follow_on_screen, show_figures
from cli.commands.song_request import show_what_is_sung
from cli.errors import CliError, StackError
from cli.figures import end_line
from cli.local.signals import StopSignals
from cli.local.stack import Stack, StackSettings, free_port, running_stack
from cli.optional_packages import STACK_PACKAGES, require_packages
from cli.outputs import OutputPath
from cli.player import Player, find_player, playing
from cli.program import command
from cli.terminal.console import escape, notes, results
from cli.terminal.picture import read_mono, terminal_picture, write_spectrogram
from jukebox_client import Job, JukeboxClient, JukeboxClientError
from jukebox_core.models.catalog import BUNDLED_MODEL

MINI_IS_SMALL = "mini is a small model trained on synthetic music: it sings vowels, not words."
LYRICS = "Put a coin in the jukebox, pick a row,\nten more seconds and then we go."


def demo(
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    artist: options.Artist = "orlavane",
    genre: options.Genre = "tidedub",
    lyrics: options.Lyrics = LYRICS,
    seconds: options.Seconds = 10.0,
    seed: options.Seed = None,
    channels: options.Channels = None,
    play: options.Play = False,
) -> None:
    """Start a temporary service, generate a song, and stop.

    The song and its spectrogram are saved in the data directory; everything else is removed.
    """
    require_packages(STACK_PACKAGES)
    player = find_player() if play else None
    request = {
        "model": BUNDLED_MODEL,
        "artist": artist,
        "genre": genre,
        "lyrics": options.lyrics_text(lyrics),
        "duration_seconds": seconds,
    }
    if seed is not None:
        request["seed"] = seed
    if channels is not None:
        request["channels"] = channels
    models_dir = data_dir / "models"
    with StopSignals().listening() as signals, _run_folder() as folder:
        settings = StackSettings(
            data_dir=folder, models_dir=models_dir, port=free_port(), isolated=True
        )
        began = time.monotonic()
        notes().print("starting an embedded server, a worker and the API ...")
        with running_stack(settings, signals) as stack:
            notes().print(f"up at {stack.url} after {time.monotonic() - began:.1f} s")
            job, path = _sing(stack, request, data_dir / "songs", player)
    _show(job, path)


def _sing(
    stack: Stack,
    request: dict[str, object],
    songs_dir: Path,
    player: Callable[[], Player] | None,
) -> tuple[Job, Path]:
    songs_dir.mkdir(parents=True, exist_ok=True)
    with JukeboxClient(stack.url) as client:
        job = client.create_job(request)
        show_what_is_sung(job, request)
        notes().print(
            f"POST /jobs: {escape(str(request['artist']))}, {escape(str(request['genre']))}, "
            f"{request['duration_seconds']:g} s, seed {job.seed} -> {job.id}"
        )
        with nullcontext() if player is None else playing(stack.url, job.id, player):
            job = follow_on_screen(client, job.id, check=stack.check)
        if job.status != "succeeded":
            raise StackError(f"{end_line(job)}\n{stack.last_lines('worker')}")
        target = SoundTarget(output=OutputPath(songs_dir, is_folder=True))
        (path,) = download_all(client, job, target)
    return job, path


def _show(job: Job, path: Path) -> None:
    audio, sample_rate_hz = read_mono(path)
    picture = path.with_suffix(".png")
    write_spectrogram(picture, audio, sample_rate_hz)
    show_figures(job)
    if notes().is_terminal:
        notes().print(terminal_picture(audio, sample_rate_hz))
    results().print(escape(str(picture)))
    notes().print(MINI_IS_SMALL)
    notes().print(
        f"The service has been stopped. Next: `{escape(command('serve'))}`, and open its page, "
        f"http://127.0.0.1:{options.DEFAULT_PORT}/"
    )


@contextmanager
def _run_folder() -> Iterator[Path]:
    """A folder for one run, kept only when the run failed."""
    folder = Path(tempfile.mkdtemp(prefix="jukebox-demo-"))
    try:
        yield folder
    except (CliError, JukeboxClientError):
        notes().print(f"Logs and files of this run are kept in {escape(str(folder))}")
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
