"""The command `jukebox`: every command, put together."""

import sys

import typer

from cli.commands import (
    codes,
    demo,
    doctor,
    eval,
    features,
    generate,
    jobs,
    keys,
    lyrics,
    models,
    modes,
    pins,
    serve,
    synth,
    train,
    webhooks,
)
from cli.console import escape, notes
from cli.errors import CliError
from cli.local.signals import Interrupted
from jukebox_core.errors import JukeboxError


def build_app() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        name="jukebox",
        help="Jukebox as a library and a service: an artist, a genre, lyrics; out comes a song.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.command("demo")(demo.demo)
    app.command("serve")(serve.serve)
    app.command("submit")(jobs.submit)
    app.command("continue")(modes.continue_song)
    app.command("upsample")(modes.upsample)
    app.command("upload")(modes.upload_file)
    app.command("tree")(modes.tree)
    app.command("watch")(jobs.watch)
    app.command("list")(jobs.list_jobs)
    app.command("cancel")(jobs.cancel)
    app.command("retry")(jobs.retry)
    app.command("pin")(pins.pin)
    app.command("unpin")(pins.unpin)
    app.command("download")(jobs.download)
    app.command("align")(lyrics.align)
    app.add_typer(codes.codes_app, name="codes")
    app.command("generate")(generate.generate)
    app.command("features")(features.features)
    app.add_typer(models.models_app, name="models")
    app.command("synth")(synth.synth)
    app.add_typer(train.train_app, name="train")
    app.add_typer(eval.eval_app, name="eval")
    app.add_typer(keys.keys_app, name="keys")
    app.add_typer(webhooks.webhooks_app, name="webhooks")
    app.command("doctor")(doctor.doctor)
    return app


def main() -> None:
    """Run a command; what goes wrong on purpose is one sentence and exit status 1."""
    try:
        build_app()()
    except (CliError, JukeboxError, OSError) as error:  # OSError: no such folder, a full disk ...
        notes().print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
    except Interrupted as interrupted:
        notes().print("stopped")
        sys.exit(interrupted.exit_status)


if __name__ == "__main__":
    main()
