"""The scripted service, and a client of it that does not sleep."""

from collections.abc import Iterator

import pytest

from cli.client import JukeboxClient
from tests.cli.scripted import ScriptedService


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as service:
        yield service


@pytest.fixture
def slept() -> list[float]:
    """Every pause that the client would have made, in seconds."""
    return []


@pytest.fixture
def client(service: ScriptedService, slept: list[float]) -> Iterator[JukeboxClient]:
    with JukeboxClient(service.url, sleep=slept.append, patience_sec=0.2) as client:
        yield client
