"""The command `jukebox`: every command, put together."""

import atexit
import gc
import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cli.commands import (
    codes,
    demo,
    doctor,
    edit,
    features,
    generate,
    jobs,
    keys,
    lyrics,
    models,
    modes,
    names,
    pins,
    serve,
    splice,
    trash,
    webhooks,
)
from cli.commands.training import train
from cli.errors import CliError, UsageError, system_sentence
from cli.local.signals import Interrupted
from cli.option_names import in_options
from cli.optional_packages import JukeboxGroup
from cli.service.sentences import sentence_of
from cli.terminal.console import escape, notes, results
from jobs.version import VERSION
from jukebox_client import JukeboxClientError
from jukebox_core.errors import JukeboxError, LabelError, SongError

_MOVED = {"synth": "recipes.mini.synth", "eval": "recipes.mini.evaluate"}
"""Commands of earlier releases, and the module that each of them has become."""
_ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


def build_app() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        cls=JukeboxGroup,
        name="jukebox",
        help="Generate songs from an artist, a genre and lyrics, locally or through the service.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options_of_jukebox)
    app.command("demo")(demo.demo)
    app.command("serve")(serve.serve)
    app.command("submit")(jobs.submit)
    app.command("continue")(modes.continue_song)
    app.command("upsample")(modes.upsample)
    app.command("splice")(splice.splice)
    app.command("redo")(modes.redo)
    app.command("upload")(modes.upload_file)
    app.command("tree")(modes.tree)
    app.command("watch")(jobs.watch)
    app.command("list")(jobs.list_jobs)
    app.command("show")(jobs.show)
    app.command("cancel")(jobs.cancel)
    app.command("retry")(jobs.retry)
    app.command("edit")(edit.edit)
    app.command("delete")(trash.delete)
    app.command("rm", hidden=True)(trash.delete)
    app.command("restore")(trash.restore)
    app.command("pin")(pins.pin)
    app.command("unpin")(pins.unpin)
    app.command("download")(jobs.download)
    app.command("artists")(names.artists)
    app.command("genres")(names.genres)
    app.command("align")(lyrics.align)
    app.command("lyrics")(lyrics.lyrics)
    app.add_typer(codes.codes_app, name="codes")
    app.command("generate")(generate.generate)
    app.command("features")(features.features)
    app.add_typer(models.models_app, name="models")
    app.add_typer(train.train_app, name="train")
    app.add_typer(keys.keys_app, name="keys")
    app.add_typer(webhooks.webhooks_app, name="webhooks")
    app.command("doctor")(doctor.doctor)
    for name, module in _MOVED.items():
        app.command(name, hidden=True, add_help_option=False, context_settings=_ANY_ARGUMENTS)(
            _moved(name, module)
        )
    return app


def _moved(name: str, module: str) -> Callable[[], None]:
    def moved() -> None:
        raise UsageError(
            f"`jukebox {name}` is now `python -m {module}`, in a checkout of the repository"
        )

    return moved


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        results().print(f"jukebox {VERSION}")
        raise typer.Exit


def _options_of_jukebox(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of `jukebox` itself; the eager callback has handled them before a command runs."""


def main() -> None:
    """Run a command of `jukebox`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a title may have letters the terminal has not
    # The interpreter would look through all of torch for garbage before it ends (half a second).
    atexit.register(gc.freeze)
    run(build_app())


def run(app: typer.Typer) -> None:
    """Run a command; an error that is raised on purpose is one sentence and exit status 1."""
    try:
        app()
    except (
        CliError,
        JukeboxClientError,
        JukeboxError,
        OSError,
        MemoryError,
        RuntimeError,
    ) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        notes().print(f"[bold red]error:[/] {escape(sentence)}")
        sys.exit(1)
    except Interrupted as interrupted:
        notes().print("stopped")
        sys.exit(interrupted.exit_status)


def _sentence(error: Exception) -> str | None:
    """What to tell about an error that may happen to anybody; None for a fault of this program."""
    if isinstance(error, SongError | LabelError):
        return in_options(str(error))
    if isinstance(error, JukeboxClientError):
        return sentence_of(error)
    if isinstance(error, OSError):  # no such folder, a full disk ...
        return system_sentence(error)
    if _is_out_of_memory(error):
        words = str(error).partition("\n")[0] or "try fewer takes or a smaller model"
        return f"there is not enough memory for this: {words}"
    return str(error) if isinstance(error, CliError | JukeboxError) else None


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:  # which takes seconds to load
        return False
    from jukebox_core.backends.memory import is_out_of_memory

    return is_out_of_memory(error)


if __name__ == "__main__":
    main()
