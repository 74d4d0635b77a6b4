"""The images as far as they can be judged without a container engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools_scm import get_version

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
    stages = arguments(name, "FROM")
    assert stages == ["${BASE_IMAGE} AS dependencies", "dependencies AS code", "${BASE_IMAGE}"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_no_weights_and_no_secrets_are_copied(name):
    assert set(arguments(name, "COPY")) == {
        "constraints.txt ./",
        "pyproject.toml ./",
        ". .",
        "--from=dependencies /opt/jukebox /opt/jukebox",
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    kept = {line.removeprefix("!").rstrip("/") for line in ignored if line.startswith("!")}
    assert kept == {
        *("api", "cli", "client", "jobs", "jukebox_core", "studio", "worker", "deploy/sbom.py"),
        *("constraints.txt", "LICENSE", "pyproject.toml", "README.md"),
    }
    for path in kept:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", DOCKERFILES)
def test_versions_are_those_that_ci_runs(name):
    installs = [
        line
        for line in arguments(name, "RUN")
        if "pip install" in line and "--no-index --no-deps /wheel" not in line
    ]
    assert installs
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    for line in installs:
        assert "--constraint constraints.txt" in line
        for pin in re.findall(r"\S+==\S+", line):
            assert pin in pins


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_change_of_code_leaves_the_layers_of_dependencies_as_they_are(name):
    words = instructions(name)
    stages = [at for at, (word, _) in enumerate(words) if word == "FROM"]
    dependencies, code, image = (
        words[start:end] for start, end in zip(stages, [*stages[1:], None], strict=True)
    )
    assert dependencies[0][1].endswith("AS dependencies")
    assert ("COPY", ". .") not in dependencies
    assert code[0] == ("FROM", "dependencies AS code")
    assert not any("--no-deps" not in line for word, line in code if word == "RUN")
    copied = image.index(("COPY", "--from=dependencies /opt/jukebox /opt/jukebox"))
    assert all("from=code" not in line for _, line in image[:copied])
    # A version of its own for each commit must not make the dependencies anew.
    assert not any(line.startswith(("VERSION", "REVISION")) for _, line in dependencies)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_each_image_says_what_it_is(name):
    [labels] = arguments(name, "LABEL")
    given = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', labels))
    assert {"title", "description", "licenses"} < set(given)
    assert given["licenses"] == "Apache-2.0"
    assert (given["version"], given["revision"]) == ("${VERSION}", "${REVISION}")
    assert given["base.name"] == "${BASE_IMAGE}"
    assert any("/sbom.py /opt/jukebox/sbom.cdx.json" in line for line in arguments(name, "RUN"))


def test_the_cpu_image_takes_torch_without_cuda():
    words = instructions("deploy/Dockerfile.cpu")
    assert ("ARG", "TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu") in words
    [line] = [line for _, line in words if "torch==" in line]
    assert '--extra-index-url "${TORCH_INDEX_URL}"' in line


@pytest.mark.parametrize(
    ("name", "extra", "process"),
    [
        ("Dockerfile.gpu", "worker,cli", "worker"),
        ("deploy/Dockerfile.cpu", "worker,cli", "worker"),
        ("deploy/Dockerfile.api", "api,cli,formats,tags", "api"),
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
        assert check.endswith('CMD ["python", "-m", "api.health", "/healthz"]')
        assert (ROOT / "api" / "health.py").exists()


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

    installed = ("api", "cli", "formats", "tags")
    needed = {name for extra in installed for name in requirements(extra)}
    needed |= {*(re.match(r"[\w-]+", r)[0] for r in project["dependencies"])}
    assert {"fastapi", "celery", "redis"} <= needed
    assert not needed & {"torch", "accelerate", "transformers"}


class TestVersion:
    """`deploy/version.sh` says what setuptools-scm says, without it."""

    @pytest.fixture
    def checkout(self, tmp_path):
        (tmp_path / "deploy").mkdir()
        shutil.copy(ROOT / "deploy" / "version.sh", tmp_path / "deploy")
        self.git(tmp_path, "init", "--quiet")
        return tmp_path

    def git(self, folder, *arguments):
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True)

    def commit(self, folder, tag=None):
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")
        if tag:
            self.git(folder, "tag", tag)

    def version(self, folder):
        command = ["sh", folder / "deploy" / "version.sh"]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @pytest.mark.parametrize("tag", [None, "v1.2.3", "v0.9.0", "v2.0", "v1.0.0rc1"])
    def test_it_agrees_with_setuptools_scm(self, checkout, tag):
        self.commit(checkout)
        self.commit(checkout, tag)
        assert self.version(checkout) == get_version(root=checkout)
        self.commit(checkout)
        assert self.version(checkout) == get_version(root=checkout)
