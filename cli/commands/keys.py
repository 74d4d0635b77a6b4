"""`jukebox keys`: who may use a service; on its own machine, beside its data folder."""

from typing import Annotated

import typer
from rich.table import Table

from cli import options
from cli.console import escape, notes, results
from cli.errors import UsageError
from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import JobsError

keys_app = typer.Typer(help="Who may use the service of a data folder.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What the key is called, such as who has it.")]


@keys_app.command("create")
def create(
    name: Name,
    scopes: Annotated[
        str,
        typer.Option(help="submit, read and admin (everything, with everybody's jobs), by commas."),
    ] = "submit,read",
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
) -> None:
    """Make a key and print it, this once; a running service knows it at once."""
    try:
        key, token = ApiKeyFile(data_dir).create(name, _scopes(scopes))
    except (JobsError, ValueError) as error:
        raise UsageError(str(error)) from error
    results().print(token)
    notes().print(
        f"{escape(key.name)} may {', '.join(key.scopes)}. Keep the key: it is stored nowhere. "
        "Clients send it as `Authorization: Bearer ...`; `jukebox` takes it from JUKEBOX_API_KEY. "
        "From now on the service needs a key from everybody."
    )


@keys_app.command("list")
def list_keys(data_dir: options.DataDir = options.DEFAULT_DATA_DIR) -> None:
    """List the keys, without what they are; `id` is the `owner` of jobs."""
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("name", "scopes", "id", "created"):
        table.add_column(heading, overflow="fold")
    try:
        keys = ApiKeyFile(data_dir).all_keys()
    except JobsError as error:
        raise UsageError(str(error)) from error
    for key in keys:
        created = key.created_at.isoformat(timespec="seconds")
        table.add_row(escape(key.name), ",".join(key.scopes), key.id, created)
    results().print(table)


@keys_app.command("revoke")
def revoke(name: Name, data_dir: options.DataDir = options.DEFAULT_DATA_DIR) -> None:
    """Make a key worthless, at once. Its jobs stay, for those with `admin`."""
    try:
        ApiKeyFile(data_dir).revoke(name)
    except JobsError as error:
        raise UsageError(str(error)) from error
    notes().print(f"{escape(name)} is revoked.")


def _scopes(text: str) -> list[Scope]:
    try:
        return [Scope(word.strip()) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--scopes takes {', '.join(Scope)}, by commas: {error}") from error
