"""`jukebox webhooks`: what signs them; on the service's own machine, beside its data folder."""

from typing import Annotated

import typer

from cli import options
from cli.errors import UsageError
from cli.program import command
from cli.terminal.console import notes, print_json, results
from jobs.api_keys import ApiKeyFile
from jobs.errors import JobsError
from jobs.webhooks.signing import WebhookSecrets

webhooks_app = typer.Typer(
    help="Manage the webhook signing secrets of a service.", no_args_is_help=True
)


@webhooks_app.command("secret")
def secret(
    name: Annotated[
        str | None, typer.Argument(help="Name of an API key; omit if the service has no keys.")
    ] = None,
    as_json: options.AsJson = False,
    data_dir: options.DataPlace = options.DEFAULT_DATA_DIR,
) -> None:
    """Print the secret that verifies the webhooks of an API key."""
    try:
        owner = _owner(ApiKeyFile(data_dir), name)
        newest = WebhookSecrets(data_dir).of(owner)[0]
    except (JobsError, OSError) as error:
        raise UsageError(str(error)) from error
    if as_json:
        print_json({"secret": newest})
    else:
        results().print(newest)


@webhooks_app.command("rotate")
def rotate(data_dir: options.DataPlace = options.DEFAULT_DATA_DIR) -> None:
    """Rotate the secrets of all API keys.

    Webhooks are also signed with the previous secrets until the next rotation.
    """
    try:
        WebhookSecrets(data_dir).rotate()
    except (JobsError, OSError) as error:
        raise UsageError(str(error)) from error
    notes().print(
        "All webhook secrets were rotated. Webhooks are also signed with the previous secrets "
        "until the next rotation. Receivers can get the new secret from GET /webhooks/secret."
    )


def _owner(keys: ApiKeyFile, name: str | None) -> str | None:
    """The id of the key; None without a name. Raises UsageError, ApiKeysUnreadable."""
    if name is None:
        return None
    for key in keys.all_keys():
        if key.name == name:
            return key.id
    raise UsageError(f"no key is called {name!r}; see `{command('keys list')}`")
