"""One fleet for all tests, one machine that they are compared with, and figures of both."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.fleet.fleet", "tests.fleet.machines")

from tests.fleet.fleet import Fleet, Song, song_request  # noqa: E402  (rewritten when imported)
from tests.fleet.machines import make_network  # noqa: E402
from tests.fleet.sandbox import INSIDE  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and INSIDE not in os.environ:
            item.add_marker(pytest.mark.skip(reason="needs a sandbox: `make fleet`"))


class OneMachine:
    """Songs as a service on one machine sings them, each sung once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fleet: Fleet | None = None
        self._songs: dict[tuple[int, float], Song] = {}
        self.seconds: dict[tuple[int, float], float] = {}

    def song(self, seed: int, seconds: float) -> Song:
        if (seed, seconds) not in self._songs:
            self._songs[seed, seconds] = self._sing(seed, seconds)
        return self._songs[seed, seconds]

    def _sing(self, seed: int, seconds: float) -> Song:
        if self._fleet is None:
            self._fleet = Fleet(self._folder, workers={}, first_number=200).__enter__()
        job = self._fleet.client.create_and_wait(song_request(seed, seconds))
        self.seconds[seed, seconds] = (job.completed_at - job.created_at).total_seconds()
        return self._fleet.song(job, self._folder / "songs" / job.id)

    def end(self) -> None:
        if self._fleet is not None:
            self._fleet.end()


@pytest.fixture(scope="session")
def network() -> None:
    make_network()


@pytest.fixture(scope="session")
def one_machine(network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneMachine]:
    machine = OneMachine(tmp_path_factory.mktemp("alone"))
    try:
        yield machine
    finally:
        machine.end()


@pytest.fixture(scope="session")
def fleet(network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


FIGURES = pytest.StashKey[dict[str, dict[str, object]]]()


@pytest.fixture
def note(request: pytest.FixtureRequest):
    """Keep figures of a test for the end of the run."""

    def keep(**figures: object) -> None:
        stash = request.config.stash.setdefault(FIGURES, {})
        stash.setdefault(request.node.name, {}).update(figures)

    return keep


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    for name, figures in config.stash.get(FIGURES, {}).items():
        terminalreporter.write_line(f"{name}: {json.dumps(figures)}")
