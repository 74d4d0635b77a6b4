"""`jukebox artists`, `jukebox genres`: the names that a model knows."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli import options
from cli.commands.song_request import ready_models
from cli.errors import UsageError
from cli.local.model_places import known_models
from cli.local_model import default_model
from cli.option_groups import grouped
from cli.terminal.console import notes, print_fitted, print_json, results
from cli.terminal.tables import Column, fitted_table
from jukebox_client import JukeboxClient
from jukebox_core.buckets import Place

_COLUMNS = (Column(heading="name", is_flexible=True), Column(heading="known at"))

Text = Annotated[
    str,
    typer.Argument(metavar="TEXT", help="Text to search for, typos allowed (default: list all)."),
]
Model = Annotated[str | None, typer.Option("--model", help="Model (default: the only one).")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="Maximum number of names.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the ids of every level.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Search a model of this service (default: models on this machine)."),
]


@grouped
def artists(
    *,
    text: Text = "",
    model: Model = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = None,
    places: options.Places,
) -> None:
    """Search the artists of a model."""
    _show(_found("artists", text, model, limit, url, places.models), as_json=as_json)


@grouped
def genres(
    *,
    text: Text = "",
    model: Model = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = None,
    places: options.Places,
) -> None:
    """Search the genres of a model."""
    _show(_found("genres", text, model, limit, url, places.models), as_json=as_json)


def _found(
    kind: str, text: str, model: str | None, limit: int, url: str | None, models: Place
) -> list[dict[str, Any]]:
    """Names with their ids and scores, as the service tells them."""
    if url is not None:
        with JukeboxClient(url) as client:
            name = _chosen(model, ready_models(client))
            ask = client.search_artists if kind == "artists" else client.search_genres
            return [each.to_dict() for each in ask(name, text, limit=limit).data]
    catalog = known_models(models)
    search = catalog.search(_chosen(model, catalog.names()))
    find = search.artists if kind == "artists" else search.genres
    return [asdict(match) for match in find(text, limit)]


def _chosen(model: str | None, known: Sequence[str]) -> str:
    name = model if model is not None else default_model(known)
    if name is None:
        raise UsageError(f"choose a model with --model; available: {', '.join(known) or 'none'}")
    return name


def _show(matches: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(matches)
        return
    if not matches:
        notes().print("No matching names.")
        return
    rows = [
        [str(match["name"]), ", ".join(level for level, ids in match["ids"].items() if ids)]
        for match in matches
    ]
    print_fitted(fitted_table(_COLUMNS, rows, results().width))
