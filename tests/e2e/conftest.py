"""The whole stack as a person would start it: server, worker and API, each a process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.commands.models import write_tiny
from cli.local.signals import StopSignals
from cli.local.stack import Stack, StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient


@pytest.fixture(scope="session")
def tiny_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny` in it."""
    models_dir = tmp_path_factory.mktemp("models")
    write_tiny(models_dir / "tiny")
    return models_dir


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Iterator[Stack]:
    settings = StackSettings(
        data_dir=tmp_path_factory.mktemp("stack"),
        models_dir=tiny_models_dir,
        port=free_port(),
        isolated=True,
    )
    with running_stack(settings, StopSignals()) as stack:
        yield stack


@pytest.fixture(scope="session")
def fresh_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make serve` starts on a new machine: only the bundled model is there."""
    folder = tmp_path_factory.mktemp("fresh")
    settings = StackSettings(
        data_dir=folder / "data", models_dir=folder / "models", port=free_port(), isolated=True
    )
    with running_stack(settings, StopSignals()) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[JukeboxClient]:
    with JukeboxClient(stack.url) as client:
        yield client


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    """What a shell needs for `jukebox` to be this one and talk to this stack."""
    return environment_of(stack)


def environment_of(stack: Stack) -> dict[str, str]:
    """The environment of a shell in which `jukebox` talks to `stack`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "JUKEBOX_URL": stack.url}


def shell(script: str, *, environment: dict[str, str], cwd: Path, timeout: float = 600) -> None:
    """Run what a page tells a reader to type."""
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr


def jukebox(*arguments: str, environment: dict[str, str], cwd: Path, status: int = 0):
    """Run the command line as a process of its own; returns what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done
