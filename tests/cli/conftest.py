"""The scripted service, and a client of it that does not sleep."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.errors import CliError
from cli.main import build_app
from cli.service.client import JukeboxClient
from tests.cli.scripted import ScriptedService


@pytest.fixture(autouse=True)
def not_called_by_make(monkeypatch):
    """`make test` runs this, and no hint may depend on that."""
    monkeypatch.delenv("MAKELEVEL", raising=False)


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
    with JukeboxClient(service.url, sleep=slept.append, patience_sec=60.0) as client:
        yield client


@pytest.fixture
def run(service, monkeypatch, tmp_path):
    """Run `jukebox ARGUMENTS` against the scripted service, in an empty folder."""
    monkeypatch.setenv("JUKEBOX_URL", service.url)
    monkeypatch.delenv("JUKEBOX_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        result = CliRunner().invoke(build_app(), list(arguments))
        if isinstance(result.exception, CliError):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run
