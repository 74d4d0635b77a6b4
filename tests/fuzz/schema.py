"""Schemathesis on the live OpenAPI document, with a key and without: `python -m tests.fuzz.schema`.

The last line is JSON: how many cases, and the failures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.world import FuzzWorld, fuzz_world

PHASES = ("examples", "coverage", "fuzzing", "stateful")
# What a schema cannot say (a model's limits, ids that are there, what a file holds) is a 422, and a
# form with more than its file may be a 400.
_REFUSED_THOUGH_VALID = [200, 201, 202, 204, 206, 304, 400, 404, 409, 410, 415, 416, 422, 429]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRun:
    """What one run found; `is_clean` when every check of every case held."""

    locked: bool
    num_cases: int
    num_failures: int
    crashes: list[str]
    output: str

    @property
    def is_clean(self) -> bool:
        return not self.num_failures and not self.crashes


def run_schemathesis(
    world: FuzzWorld,
    folder: Path,
    *,
    max_examples: int,
    seed: int,
    phases: Collection[str] = PHASES,
) -> SchemaRun:
    """All checks on all operations, at most `max_examples` drawn cases for each.

    The phase `coverage`, which tries every boundary that the document tells of, has some 2,500
    cases of its own.
    """
    config, report = folder / "schemathesis.toml", folder / "report.json"
    config.write_text(_configuration(world))
    # Of an address the program would wait for the document for ten seconds.
    document = folder / "openapi.json"
    document.write_bytes(world.api.client.get("/openapi.json").raise_for_status().content)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"),
        *("run", str(document), "--url", world.url, "--checks", "all"),
        *("--phases", ",".join(phases)),
        # It sends sound for as long as a job goes on.
        *("--exclude-path", "/jobs/{job_id}/live"),
        *("--max-examples", str(max_examples), "--seed", str(seed), "--continue-on-failure"),
        *("--report", "json", "--report-json-path", str(report), "--warnings", "off"),
    ]
    child = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if child.returncode not in (0, 1) or not report.exists():
        raise RuntimeError(
            f"schemathesis ended with {child.returncode}:\n{child.stdout}{child.stderr}"
        )
    num_cases, num_failures = _figures(json.loads(report.read_text()))
    return SchemaRun(
        locked=world.token is not None,
        num_cases=num_cases,
        num_failures=num_failures or child.returncode,
        crashes=world.crashes(),
        output=child.stdout,
    )


_SEARCHES = ("a", "song dr", "\u00e9t\u00e9", "!?", "%00", "\u591c", "x:owner=y", "\0")


def _configuration(world: FuzzWorld) -> str:
    """The configuration in TOML: ids that are there, and which refusals are foreseen."""
    jobs = list(world.jobs.values())
    # Not the failed one: the fuzzer finds out that it can be retried.
    ended = [world.jobs[name] for name in ("succeeded", "canceled")]
    lines = [
        # A stream of events is cut after its snapshot.
        "max-stream-events = 1",
        # The longest `wait` is a minute.
        "request-timeout = 75",
        "[dictionaries]",
        f"jobs = {{values = {json.dumps(jobs)}}}",
        f"ended = {{values = {json.dumps(ended)}}}",
        f"doomed = {{values = {json.dumps(world.doomed)}}}",
        f"assets = {{values = {json.dumps(world.assets)}}}",
        'models = {values = ["tiny"]}',
        f"texts = {{values = {json.dumps(_SEARCHES)}}}",
        "waits = {values = [0, 0.2, 0.5]}",
        "[parameters]",
        '"path.job_id" = {dictionary = "jobs", probability = 0.7}',
        '"path.asset_id" = {dictionary = "assets", probability = 0.7}',
        '"path.name" = {dictionary = "models", probability = 0.7}',
        '"query.q" = {dictionary = "texts", probability = 0.5}',
        '"query.tag" = {dictionary = "texts", probability = 0.5}',
        '"query.artist" = {dictionary = "texts", probability = 0.5}',
        '"query.root" = {dictionary = "jobs", probability = 0.3}',
        '"body.parent_id" = {dictionary = "jobs", probability = 0.5}',
        '"body.prompt.asset_id" = {dictionary = "assets", probability = 0.5}',
        '"body.model" = {dictionary = "models", probability = 0.8}',
        "[checks]",
        "max_response_time = 75",
        "[checks.positive_data_acceptance]",
        f"expected-statuses = {_REFUSED_THOUGH_VALID}",
        "[generation]",
        'database = "none"',
        "[[operations]]",
        'include-operation-id = "deleteJob"',
        'parameters = {"path.job_id" = {dictionary = "doomed", probability = 0.3}}',
        # Of a job that has not ended, this may wait for a minute.
        "[[operations]]",
        'include-operation-id = "getJob"',
        'parameters = {"path.job_id" = {dictionary = "ended", probability = 0.7}, '
        '"query.wait" = {dictionary = "waits", probability = 0.8}}',
        "[[operations]]",
        'include-operation-id = "deleteAsset"',
        'parameters = {"path.asset_id" = "asset_0123456789abcdef0123456789abcdef"}',
    ]
    if world.token is not None:
        lines += ["[auth.openapi.apiKey]", f'bearer = "{world.token}"']
    return "\n".join(lines) + "\n"


def _figures(report: dict[str, Any]) -> tuple[int, int]:
    cases = report["test_cases"]
    return int(cases["generated"]), int(cases["unique_failures"]) + len(report["errors"])


def main() -> int:
    """Exit status 1 when a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-examples", type=int, default=60, help="drawn cases per operation")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    runs = []
    for locked in (False, True):
        with (
            tempfile.TemporaryDirectory(prefix="fuzz") as name,
            fuzz_world(Path(name), locked=locked) as world,
        ):
            run = run_schemathesis(
                world, Path(name), max_examples=arguments.max_examples, seed=arguments.seed
            )
            runs.append(run)
            sys.stderr.write(run.output + "\n".join(run.crashes) + "\n")
    told = [
        {name: value for name, value in asdict(run).items() if name != "output"} for run in runs
    ]
    sys.stdout.write(json.dumps({"seed": arguments.seed, "runs": told}) + "\n")
    return 0 if all(run.is_clean for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
