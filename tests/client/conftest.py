"""The scripted service, and both clients of it, which do not sleep."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest

from jukebox_client import AsyncJukeboxClient, JukeboxClient
from tests.fixtures.scripted_service import ScriptedService


class Blocking:
    """The asynchronous client with the methods of the synchronous one."""

    def __init__(self, url=None, **options):
        sleep = options.pop("sleep", None)
        if sleep is not None:
            options["sleep"] = lambda seconds: asyncio.sleep(0, sleep(seconds))
        self._client = AsyncJukeboxClient(url, **options)
        self._runner = asyncio.Runner()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.run(self._client.aclose())
        self._runner.close()

    def __setattr__(self, name, value):
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            setattr(self._client, name, value)

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments, **named):
            answer = found(*arguments, **named)
            if inspect.isasyncgen(answer):
                return self._items(answer)
            return self._runner.run(answer) if inspect.iscoroutine(answer) else answer

        return call

    def _items(self, generator):
        try:
            while True:
                yield self._runner.run(anext(generator))
        except StopAsyncIteration:
            return


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("JUKEBOX_API_KEY", raising=False)


@pytest.fixture(params=[JukeboxClient, Blocking], ids=["sync", "async"])
def make_client(request):
    """The class under test."""
    return request.param


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as service:
        yield service


@pytest.fixture
def slept() -> list[float]:
    """Every pause that the client would have made, in seconds."""
    return []


@pytest.fixture
def client(make_client, service, slept):
    with make_client(service.url, sleep=slept.append, patience_sec=60.0) as client:
        yield client
