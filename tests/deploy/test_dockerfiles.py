"""The images as far as they can be judged without a container engine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = ["Dockerfile.gpu", "deploy/Dockerfile.api", "deploy/Dockerfile.cpu"]
HADOLINT = Path(sys.executable).parent / "hadolint"


def instructions(name):
    """(instruction, argument) pairs, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / name).read_text())
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def arguments(name, instruction):
    return [argument for word, argument in instructions(name) if word == instruction]


def test_every_dockerfile_is_tested():
    found = {*ROOT.glob("Dockerfile*"), *(ROOT / "deploy").rglob("Dockerfile*")}
    assert found == {ROOT / name for name in DOCKERFILES}


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed")
@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name):
    found = subprocess.run(
        [HADOLINT, "--failure-threshold", "style", ROOT / name],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_runs_as_root(name):
    assert arguments(name, "USER") == ["10001:10001"]
    words = [word for word, _ in instructions(name)]
    assert words.index("USER") > words.index("COPY")
    assert "RUN" not in words[words.index("USER") :]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_base_image_is_an_argument_with_a_pinned_default(name):
    [base, *_] = arguments(name, "ARG")
    assert re.fullmatch(r"BASE_IMAGE=python:3\.\d+-slim-\w+", base)
    assert all(line.startswith("${BASE_IMAGE}") for line in arguments(name, "FROM"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_no_weights_and_no_secrets_are_copied(name):
    assert set(arguments(name, "COPY")) <= {
        "constraints.txt ./",
        ". .",
        "--from=build /opt/jukebox /opt/jukebox",
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    kept = {line.removeprefix("!").rstrip("/") for line in ignored if line.startswith("!")}
    assert kept == {
        *("api", "cli", "jobs", "jukebox_core", "worker"),
        *("constraints.txt", "LICENSE", "pyproject.toml", "README.md"),
    }
    for path in kept:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", DOCKERFILES)
def test_versions_are_those_that_ci_runs(name):
    installs = [line for line in arguments(name, "RUN") if "pip install" in line]
    assert installs
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    for line in installs:
        assert "--constraint constraints.txt" in line
        for pin in re.findall(r"\S+==\S+", line):
            assert pin in pins


@pytest.mark.parametrize(
    ("name", "extra", "process"),
    [
        ("Dockerfile.gpu", "worker", "worker"),
        ("deploy/Dockerfile.cpu", "worker", "worker"),
        ("deploy/Dockerfile.api", "api,cli", "api"),
    ],
)
def test_each_image_installs_and_runs_its_part(name, extra, process):
    assert any(f"'.[{extra}]'" in line for line in arguments(name, "RUN"))
    assert arguments(name, "CMD")[-1] == f'["python", "-m", "{process}"]'
    assert (ROOT / process / "__main__.py").exists()
    assert arguments(name, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_each_image_can_tell_whether_it_is_well(name):
    [check] = arguments(name, "HEALTHCHECK")
    if "worker.health" in check:
        assert (ROOT / "worker" / "health.py").exists()
    else:
        assert "/healthz" in check


def test_the_api_image_has_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def requirements(extra):
        for requirement in extras[extra]:
            inner = re.fullmatch(r"jukebox-service\[(.*)\]", requirement)
            if inner is None:
                yield re.match(r"[\w-]+", requirement)[0]
            else:
                for name in inner[1].split(","):
                    yield from requirements(name)

    needed = {*requirements("api"), *requirements("cli")}
    needed |= {*(re.match(r"[\w-]+", r)[0] for r in project["dependencies"])}
    assert {"fastapi", "celery", "redis"} <= needed
    assert not needed & {"torch", "accelerate", "transformers"}
