"""The scripted service, and `jukebox` against it."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.errors import CliError
from cli.main import build_app
from cli.service.sentences import sentence_of
from jukebox_client import JukeboxClientError
from tests.fixtures.scripted_service import ScriptedService


@pytest.fixture(autouse=True)
def not_called_by_make(monkeypatch):
    """`make test` runs this, and no hint may depend on that."""
    monkeypatch.delenv("MAKELEVEL", raising=False)


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as service:
        yield service


@pytest.fixture
def run(service, monkeypatch, tmp_path):
    """Run `jukebox ARGUMENTS` against the scripted service, in an empty folder.

    What the program would say of an error is raised as a CliError.
    """
    monkeypatch.setenv("JUKEBOX_URL", service.url)
    monkeypatch.delenv("JUKEBOX_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        result = CliRunner().invoke(build_app(), list(arguments))
        if isinstance(result.exception, CliError):
            raise result.exception
        if isinstance(result.exception, JukeboxClientError):
            raise CliError(sentence_of(result.exception)) from result.exception
        assert result.exit_code == status, result.output
        return result

    return run
