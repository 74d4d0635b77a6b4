"""`jukebox keys`: who may use a service; on its own machine, beside its data folder."""

from typing import Annotated

import typer

from cli import options
from cli.errors import UsageError
from cli.terminal.console import escape, notes, print_fitted, print_json, results
from cli.terminal.tables import Column, fitted_table
from jobs.api_keys import ApiKey, ApiKeyFile, Scope
from jobs.errors import JobsError

keys_app = typer.Typer(help="Manage the API keys of a service.", no_args_is_help=True)

_COLUMNS = (
    Column(heading="name", is_flexible=True),
    Column(heading="id"),
    Column(heading="scopes"),
    Column(heading="created", rank=1),
)

Name = Annotated[str, typer.Argument(help="Name of the key.")]


@keys_app.command("create")
def create(
    name: Name,
    scopes: Annotated[
        str,
        typer.Option(help="Comma-separated scopes: submit, read, admin (full access to all jobs)."),
    ] = "submit,read",
    as_json: options.AsJson = False,
    data_dir: options.DataPlace = options.DEFAULT_DATA_DIR,
) -> None:
    """Create an API key and print it once.

    A running service accepts it immediately.
    """
    try:
        key, token = ApiKeyFile(data_dir).create(name, _scopes(scopes))
    except (JobsError, OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    if as_json:
        print_json(_as_dict(key) | {"key": token})
    else:
        results().print(token)
    notes().print(
        f"{escape(key.name)} has the scopes {', '.join(key.scopes)}. "
        "Save the key: it is not shown again. "
        "Clients send it as `Authorization: Bearer ...`; `jukebox` reads it from JUKEBOX_API_KEY. "
        "The service now requires an API key."
    )


@keys_app.command("list")
def list_keys(
    as_json: options.AsJson = False, data_dir: options.DataPlace = options.DEFAULT_DATA_DIR
) -> None:
    """List key names and ids, not the keys.

    A job's `owner` is the `id` of a key.
    """
    try:
        keys = ApiKeyFile(data_dir).all_keys()
    except (JobsError, OSError) as error:
        raise UsageError(str(error)) from error
    if as_json:
        print_json([_as_dict(key) for key in keys])
        return
    if not keys:
        notes().print("No keys. The service requires none until one is created.")
        return
    rows = [
        [key.name, key.id, ",".join(key.scopes), key.created_at.isoformat(timespec="seconds")]
        for key in keys
    ]
    print_fitted(fitted_table(_COLUMNS, rows, results().width))


@keys_app.command("revoke")
def revoke(name: Name, data_dir: options.DataPlace = options.DEFAULT_DATA_DIR) -> None:
    """Revoke an API key immediately.

    Its jobs are kept; keys with the scope `admin` can access them.
    """
    try:
        ApiKeyFile(data_dir).revoke(name)
    except (JobsError, OSError) as error:
        raise UsageError(str(error)) from error
    notes().print(f"{escape(name)} is revoked.")


def _as_dict(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at.isoformat(timespec="seconds"),
    }


def _scopes(text: str) -> list[Scope]:
    try:
        return [Scope(word.strip()) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--scopes takes a comma-separated list of {', '.join(Scope)}: {error}"
        ) from error
