"""The wheel that a release ships: built, installed into a clean environment and used from there."""

import os
import shutil
import socket
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
PACKAGES = {name: name for name in ("api", "cli", "jobs", "jukebox_core", "studio", "worker")} | {
    "jukebox_client": "client/jukebox_client"
}
"""Where each package of the wheel is in a checkout."""
CLIENT = ROOT / "client"


def build(source: Path, into: Path, *options: str) -> Path:
    """Build distributions of the sources with the build tools of this environment."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), *options]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What an unpacked archive, or the context of a container image, holds: no git history."""
    folder = tmp_path_factory.mktemp("archive")
    for place in PACKAGES.values():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / place, folder / place, ignore=ignored)
    for name in ("recipes", "bench", "tests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    """Built as `python -m build` does: first an sdist, then the wheel from it."""
    return build(sources, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def commands(wheel, tmp_path_factory) -> Path:
    """The `bin` folder of a fresh environment: the wheel, and the present dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([sys.executable, *install, "--no-index", str(wheel)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # Lines of a .pth only extend the path: an editable install of the project stays invisible.
    present = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "present.pth").write_text("\n".join(present), encoding="utf-8")
    return folder / "bin"


def run(command: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "JUKEBOX" not in name}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(command), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_packages_and_nothing_else(names):
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_every_file_that_the_code_reads_is_in_the_wheel(names):
    wanted = {
        str(Path(name) / path.relative_to(ROOT / place))
        for name, place in PACKAGES.items()
        for path in (ROOT / place).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    suffixes = {Path(name).suffix for name in wanted}
    assert {".py", ".lua", ".c", ".h", ".safetensors", ".json", ".txt"} <= suffixes
    assert sorted(wanted - names) == []


def test_sources_without_git_history_build_with_the_fallback_version(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
    assert fields["Version"] == "0.1.0.dev0"
    assert fields["License-Expression"] == "Apache-2.0"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_version_is_that_of_the_git_tag(sources, tmp_path):
    checkout = tmp_path / "checkout"
    shutil.copytree(sources, checkout)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    ignored = "/build/\n/dist/\n*.egg-info/\n"
    (checkout / ".gitignore").write_text(ignored, encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v7.8.9"]):
        subprocess.run(["git", *identity, *arguments], cwd=checkout, check=True)
    assert build(checkout, tmp_path / "dist", "--wheel").name.split("-")[1] == "7.8.9"


def test_an_installed_wheel_prints_its_version(commands, tmp_path):
    assert run(commands / "jukebox", "--version", cwd=tmp_path).stdout == "jukebox 0.1.0.dev0\n"


def test_the_modules_of_an_installed_wheel_are_its_own(commands, tmp_path):
    code = (
        "import api, cli, jobs, jukebox_client, jukebox_core, worker; print(jukebox_core.__file__)"
    )
    done = run(commands / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(commands.parent)


def test_an_installed_wheel_finds_nothing_missing(commands, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run(commands / "jukebox", "doctor", "--port", port, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_installed_wheel_generates_a_second_of_sound(commands, tmp_path):
    arguments = ["--model", "mini", "--seconds", 1, "--seed", 7, "-o", "song.wav"]
    done = run(commands / "jukebox", "generate", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert soundfile.info(tmp_path / "song.wav").duration == pytest.approx(1.0, abs=0.1)
