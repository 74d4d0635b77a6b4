"""`jukebox serve`: the whole service on this machine until Ctrl-C."""

import json
import shlex
import time
from typing import Annotated

import typer

from cli import options
from cli.local.checks import redis_url_of_environment
from cli.local.model_places import known_models
from cli.local.signals import Interrupted, StopSignals
from cli.local.stack import LOGS_FOLDER, StackSettings, running_stack
from cli.local_model import default_model
from cli.option_groups import grouped
from cli.optional_packages import STACK_PACKAGES, require_packages
from cli.terminal.browser import has_screen, open_page
from cli.terminal.console import escape, notes, results
from jobs.api_keys import ApiKeyFile
from jukebox_core.errors import JukeboxError
from jukebox_core.models.catalog import BUNDLED_MODEL, ModelCatalog

_CHECK_SEC = 0.5


@grouped
def serve(
    *,
    host: Annotated[str, typer.Option(envvar="JUKEBOX_HOST", help="Address to listen on.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, typer.Option(envvar="JUKEBOX_PORT", min=1, max=65535, help="Port to listen on.")
    ] = options.DEFAULT_PORT,
    places: options.PlacesHere,
    webhooks: Annotated[
        bool,
        typer.Option(
            "--webhooks/--no-webhooks",
            envvar="JUKEBOX_WEBHOOKS",
            help="Send webhooks when jobs end; also starts the sender.",
        ),
    ] = False,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser", help="Open the studio in a browser if there is a screen."
        ),
    ] = True,
) -> None:
    """Run the API and a worker until Ctrl-C.

    Also starts an embedded Redis server unless REDIS_URL is set. A process that dies is started
    again, and its songs go on.
    """
    require_packages(STACK_PACKAGES)
    settings = StackSettings(
        data_dir=places.data_dir,
        models_dir=places.models,
        host=host,
        port=port,
        redis_url=redis_url_of_environment(),
        webhooks=webhooks,
    )
    models = known_models(settings.models_dir)
    with StopSignals().listening() as signals:
        notes().print("starting ...")
        try:
            with running_stack(settings, signals) as stack:
                _show_addresses(settings, models)
                if browser and has_screen():
                    open_page(settings.url)
                while True:
                    stack.revive(lambda news: notes().print(escape(news)))
                    time.sleep(_CHECK_SEC)
        except Interrupted:  # the way to end a service, so no failure
            notes().print("stopped")


def _show_addresses(settings: StackSettings, catalog: ModelCatalog) -> None:
    names = catalog.names()
    body = json.dumps(_example_song(catalog), ensure_ascii=False)
    results().print(f"studio   {settings.url}/")
    results().print(f"API      {settings.url}")
    results().print(f"docs     {settings.url}/docs")
    results().print(f"models   {escape(', '.join(names))}")
    results().print(f"files    {escape(str(settings.data_dir))}")
    results().print(f"logs     {escape(str(settings.data_dir / LOGS_FOLDER))}")
    key = ""
    if ApiKeyFile(settings.data_dir).exists:
        key = ' -H "Authorization: Bearer $JUKEBOX_API_KEY"'
        results().print("keys     needed: export JUKEBOX_API_KEY=...")
    results().print(
        escape(
            f"try      curl -H 'Content-Type: application/json'{key} -d {shlex.quote(body)} "
            f"{settings.url}/jobs"
        )
    )
    notes().print("Ctrl-C stops everything.")


def _example_song(catalog: ModelCatalog) -> dict[str, object]:
    """A request that works: with names that the model knows."""
    names = catalog.names()
    model = default_model(names) or (BUNDLED_MODEL if BUNDLED_MODEL in names else names[0])
    song: dict[str, object] = {"model": model, "artist": "", "genre": "", "duration_seconds": 10}
    try:
        tokenizer = catalog.get(model).tokenizer
    except JukeboxError:  # a broken model, which the list of models tells
        return song
    for vocabulary in tokenizer.vocabularies.values() if tokenizer is not None else ():
        song["artist"] = next((name for name, id_ in vocabulary.artists.items() if id_), "")
        song["genre"] = next((name for name, id_ in vocabulary.genres.items() if id_), "")
    return song
