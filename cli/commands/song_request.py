"""What commands put into the body of `POST /jobs`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli.errors import UsageError
from cli.local_model import default_model
from cli.program import command
from cli.service.job_ids import for_job, is_whole_id, looks_like_a_job
from cli.terminal.console import escape, notes
from jukebox_client import Asset, Job, JukeboxClient

_ASSET_ID = re.compile(r"asset_[0-9a-f]{32}")


def present(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without what was not said."""
    return {name: value for name, value in request.items() if value is not None}


def show_what_is_sung(job: Job, request: Mapping[str, Any]) -> None:
    """Write the service's warnings, and the lyrics where the model reads others than were sent."""
    warnings = [warning.detail for warning in job.warnings]
    show_warnings(warnings, str(request.get("lyrics") or ""), job.lyrics_as_read)


def show_warnings(warnings: Iterable[str], lyrics: str, as_read: str | None) -> None:
    """Write warnings before anything is drawn, and the lyrics as read unless they are `lyrics`."""
    for warning in warnings:
        notes().print(f"[yellow]warning:[/] {escape(warning)}")
    if lyrics and as_read and as_read.strip() != lyrics.strip():
        notes().print("the model reads:")
        notes().print(escape(as_read.strip("\n")))


def audio_asset(client: JukeboxClient, prompt: str) -> str:
    """The id of the asset that `prompt` is, or that the file of that name becomes.

    Raises:
        UsageError: there is no such file.
        ProblemError: the service does not take it.
    """
    if _ASSET_ID.fullmatch(prompt):
        return prompt
    if not Path(prompt).is_file():
        raise UsageError(f"{prompt!r} is neither a file nor an asset id")
    return upload(client, Path(prompt)).id


def origin(client: JukeboxClient, song: str) -> dict[str, Any]:
    """The fields that name what is gone on with: a job, an asset of codes, or a file of codes.

    Raises:
        UsageError: `song` is none of them.
        ProblemError: the service does not take the file.
    """
    if Path(song).is_file():
        return {"prompt": {"asset_id": upload(client, Path(song)).id}}
    if _ASSET_ID.fullmatch(song):
        return {"prompt": {"asset_id": song}}
    if not looks_like_a_job(song):
        raise UsageError(
            f"{song!r} is neither a job id (job_ and 32 hexadecimal digits, or a prefix) "
            "nor a file of codes"
        )
    if is_whole_id(song):
        return {"parent_id": song}
    return {"parent_id": for_job(client, song, client.get_job).id}


def default_model_of(client: JukeboxClient) -> str:
    """The model that is meant where none is named: the only one that the service has.

    Raises:
        UsageError: there are several, or none.
    """
    names = ready_models(client)
    name = default_model(names)
    if name is None:
        known = ", ".join(names) or f"none; see `{command('models')}`"
        raise UsageError(f"choose a model with --model; the service has: {known}")
    return name


def ready_models(client: JukeboxClient) -> list[str]:
    """The models that can sing now; the service also tells of those it could fetch."""
    models = client.list_models().data
    return [model.name for model in models if model.state in ("ready", None)]


def upload(client: JukeboxClient, path: Path) -> Asset:
    """Send a file and say what it was found to be; returns the asset."""
    asset = client.create_asset(path)
    if asset.kind == "audio":
        about = f"{asset.duration_seconds:.2f} s at {asset.sample_rate_hz:,} Hz"
    else:
        tokens = ", ".join(f"{number:,} {level}" for level, number in (asset.tokens or {}).items())
        about = f"codes of {asset.num_samples} ({tokens} tokens)"
    notes().print(escape(f"{path}: {about}"))
    return asset
