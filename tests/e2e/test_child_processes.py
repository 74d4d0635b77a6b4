"""Every kind of child: no code of the folder it is started in, no variable that is not its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from api.settings import ApiSettings
from cli.local.child_settings import API_SETTINGS, WEBHOOK_SETTINGS, WORKER_SETTINGS
from cli.local.embedded_redis import find_server
from cli.local.stack import free_port
from jobs.webhooks.settings import WebhookSettings
from jukebox_client import JukeboxClient
from tests.api.sounds import encoded, tone
from worker.settings import WorkerSettings

OURS = ("jukebox_core", "jobs", "api", "worker", "cli", "bench", "recipes")
STDLIB = (
    "json",
    "re",
    "wave",
    "subprocess",
    "resource",
    "argparse",
    "tempfile",
    "struct",
    "random",
)
SECRETS = {
    "JUKEBOX_API_KEY": "secret-of-a-client",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-cloud",
    "HF_TOKEN": "secret-of-the-hub",
    "JUKEBOX_NO_SUCH_SETTING": "secret-without-a-use",
    "HTTPS_PROXY": "http://secret-user:secret-password@proxy",
}
TELLS = """
import json, os, sys
told = {"command": sys.orig_argv, "environment": dict(os.environ)}
with open(__FOLDER__ + f"/{os.getpid()}.json", "w") as file:
    json.dump(told, file)
"""


class Place:
    """A folder full of modules that must not run, and a record of every child that was started."""

    def __init__(self, folder: Path) -> None:
        self.planted, self.told, shims = (folder / name for name in ("planted", "told", "shims"))
        for each in (self.planted, self.told, shims, folder / "site", folder / "tmp"):
            each.mkdir()
        self.ran = folder / "ran"
        for name in {*packages_distributions(), *OURS, *STDLIB}:
            self._plant(name)
        tells = TELLS.replace("__FOLDER__", repr(str(self.told)))
        (folder / "site" / "sitecustomize.py").write_text(tells)
        for name, program in (("cc", shutil.which("cc")), ("valkey-server", find_server())):
            if program is not None:
                self._shim(shims / name, str(program))
        search_path = f"{os.pathsep}.{os.pathsep}{shims}{os.pathsep}{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUKEBOX_", "REDIS_"))}
        self.environment = kept | SECRETS
        self.environment |= {
            "PATH": search_path,
            "PYTHONPATH": str(folder / "site"),
            "TMPDIR": str(folder / "tmp"),
        }

    def _plant(self, name: str) -> None:
        if name.isidentifier():
            file = self.planted / f"{name}.py"
            file.write_text(f"open({str(self.ran)!r}, 'a').write({name!r} + ' ')\n")

    def _shim(self, path: Path, program: str) -> None:
        tells = TELLS.replace("__FOLDER__", repr(str(self.told)))
        path.write_text(
            f"#!{sys.executable} -IS\n{tells}\n"
            f"os.execv({program!r}, [{program!r}, *sys.argv[1:]])\n"
        )
        path.chmod(0o755)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cli.main", *arguments]

    def run(self, *arguments: str) -> None:
        subprocess.run(
            self.command(*arguments),
            cwd=self.planted,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
            timeout=600,
        )

    def children(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Command and environment of every process but the commands themselves."""
        for path in self.told.iterdir():
            told = json.loads(path.read_text())
            command = " ".join(told["command"])
            if "cli.main" not in command:
                yield command, told["environment"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """After every command that starts children has started them."""
    place = Place(tmp_path_factory.mktemp("p"))
    place.run("models", "tiny", str(place.planted / "models" / "tiny"))
    place.run("doctor")
    port = free_port()
    serve = subprocess.Popen(
        place.command("serve", "--port", str(port), "--models-dir", "models", "--webhooks"),
        cwd=place.planted,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert serve.stdout is not None
        while not serve.stdout.readline().startswith("try"):
            assert serve.poll() is None
        _sing(place, f"http://127.0.0.1:{port}")
    finally:
        serve.send_signal(signal.SIGINT)
        serve.communicate(timeout=300)
    return place


def _sing(place: Place, url: str) -> None:
    """A recording goes in, a song comes out, each in another format."""
    sound, song = place.planted / "in.flac", place.planted / "song.ogg"
    sound.write_bytes(encoded(tone(2.0), "flac"))
    with JukeboxClient(url) as client:
        asset = client.create_asset(sound)
        job = client.create_job(
            {
                "mode": "primed",
                "model": "tiny",
                "artist": "",
                "genre": "",
                "duration_seconds": 3,
                "levels": ["top"],
                "audio_format": "mp3",
                "prompt": {"asset_id": asset.id, "seconds": 1.0},
            }
        )
        *_, done = client.follow_job(job.id)
        assert done.status == "succeeded", done
        client.download_audio(done, song, format="ogg")
    assert song.read_bytes()[:4] == b"OggS"


@pytest.mark.e2e
@pytest.mark.redis
def test_no_child_of_any_kind_runs_code_of_the_folder_it_is_started_in(place):
    kinds = {
        *("-m api", "-m worker", "-m jobs.webhooks", "-m cli.local.watchdog", "valkey-server"),
        *("-m jukebox_core.tiny", "-P -c import torch"),
        *("jukebox_core.audio.intake sound", "jukebox_core.audio.intake cut"),
        *("jukebox_core.audio.spectrogram", "jukebox_core.audio.tags"),
    }
    commands = [command for command, _ in place.children()]
    assert {kind for kind in kinds if not any(kind in command for command in commands)} == set()
    encoders = [c for c in commands if "jukebox_core.audio.transcode" in c]
    assert {each.rpartition(".")[2] for each in encoders} == {"mp3", "ogg"}
    assert not place.ran.exists(), place.ran.read_text()


@pytest.mark.e2e
@pytest.mark.redis
def test_every_child_has_named_variables_only_and_decoders_no_address_of_the_store(place):
    for command, environment in place.children():
        assert not [v for v in environment.values() if "secret" in v], command
        is_service = any(command.endswith(f"-m {m}") for m in ("api", "worker", "jobs.webhooks"))
        assert ("REDIS_URL" in environment) == is_service, command


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (ApiSettings, API_SETTINGS),
        (WorkerSettings, WORKER_SETTINGS),
        (WebhookSettings, WEBHOOK_SETTINGS),
    ],
)
def test_children_of_the_stack_inherit_every_setting_of_theirs_by_name(settings, names):
    assert settings.variables() == {
        name for name in names if name.startswith(("JUKEBOX_", "REDIS_"))
    }
