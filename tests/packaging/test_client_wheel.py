"""The wheel of `jukebox-client`, built alone and used where the service is not installed."""

import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.fixtures.scripted_service import ScriptedService, script_a_song
from tests.packaging.test_wheel import CLIENT, ROOT, build, run


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What an archive of the folder holds: no git history and nothing of the repository."""
    folder = tmp_path_factory.mktemp("archive") / "client"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(CLIENT, folder, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    return build(sources, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel and what it needs, all else out of sight."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([sys.executable, *install, "--no-index", str(wheel)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in _needed({"httpx", "pydantic"}):
        _copy_package(name, site)
    return python


def _needed(names: set[str]) -> set[str]:
    """The distributions that some need, and those that these need."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = [Requirement(line) for line in requires(name) or ()]
            waiting += [
                each.name
                for each in needs
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


def _copy_package(name: str, site: Path) -> None:
    for file in distribution(name).files or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file() and source.suffix != ".pyc":
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = CLIENT / "jukebox_client"
    wanted = {
        str(path.relative_to(CLIENT))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == wanted
    assert "jukebox_client/py.typed" in names


def test_the_wheel_needs_httpx_and_pydantic_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
    needed = {Requirement(line).name for line in fields.get_all("Requires-Dist")}
    assert needed == {"httpx", "pydantic"}
    assert fields["Version"] == "0.1.0.dev0"
    assert fields["License-Expression"] == "Apache-2.0"


def test_both_distributions_have_the_same_license():
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_version_is_that_of_the_repository_s_tag(sources, tmp_path):
    checkout = tmp_path / "checkout"
    shutil.copytree(sources, checkout / "client")
    (checkout / ".gitignore").write_text("build/\ndist/\n*.egg-info/\n", encoding="utf-8")
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v7.8.9"]):
        subprocess.run(["git", *identity, *arguments], cwd=checkout, check=True)
    built = build(checkout / "client", tmp_path / "dist", "--wheel")
    assert built.name.split("-")[1] == "7.8.9"


_PROGRAM = """
import asyncio, importlib.util, sys
from jukebox_client import AsyncJukeboxClient, JukeboxClient

for name in ("torch", "numpy", "jobs", "api", "cli", "jukebox_core"):
    assert importlib.util.find_spec(name) is None, name

async def later(url):
    async with AsyncJukeboxClient(url) as client:
        job = await client.create_and_wait(model="tiny", duration_seconds=2)
        return await client.download_audio(job, "async.wav")

url = sys.argv[1]
with JukeboxClient(url) as client:
    job = client.create_and_wait(model="tiny", duration_seconds=2)
    path = client.download_audio(job, "sync.wav")
print(path.read_bytes() == asyncio.run(later(url)).read_bytes())
"""


def test_an_installed_wheel_fetches_a_song_where_no_service_is_installed(python, tmp_path):
    with ScriptedService() as service:
        script_a_song(service)
        done = run(python, "-c", _PROGRAM, service.url, cwd=tmp_path)
    assert done.stdout == "True\n", done.stderr
