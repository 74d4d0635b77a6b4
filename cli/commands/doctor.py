"""`jukebox doctor`: what is missing, and how to mend it."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from cli import options
from cli.local.checks import (
    Finding,
    Surroundings,
    Verdict,
    examine,
    is_in_container,
    redis_url_of_environment,
)
from cli.local.stack import local_url
from cli.option_groups import grouped
from cli.terminal.console import escape, print_fitted, print_json

_STYLES = {Verdict.FINE: "green", Verdict.NOTE: "yellow", Verdict.MISSING: "bold red"}


@grouped
def doctor(
    *,
    places: options.Places,
    host: Annotated[str, typer.Option(envvar="JUKEBOX_HOST", help="Address of the service.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(envvar="JUKEBOX_PORT", help="Port of the service.")] = (
        options.DEFAULT_PORT
    ),
    url: Annotated[
        str | None,
        typer.Option(envvar="JUKEBOX_URL", help="URL of the service (default: http://HOST:PORT)."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check the requirements of this machine.

    Exits with status 1 if something is missing.
    """
    place = Surroundings(
        data_dir=places.data_dir,
        models_dir=places.models,
        host=host,
        port=port,
        url=url or local_url(host, port),
        redis_url=redis_url_of_environment(),
        in_container=is_in_container(),
    )
    findings = examine(place)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_fitted(_findings_table(findings))
    if any(finding.verdict is Verdict.MISSING for finding in findings):
        raise typer.Exit(1)


def _findings_table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in ("what", "verdict"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        found = escape(finding.found)
        if finding.remedy:
            found += f"\n-> {escape(finding.remedy)}"
        style = _STYLES[finding.verdict]
        table.add_row(finding.what, f"[{style}]{finding.verdict}[/]", found)
    return table
