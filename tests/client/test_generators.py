"""Clients that others generate from /openapi.json: no warnings, compiled, and used."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from api.views.openapi import EXAMPLE_JOB
from tests.fixtures.scripted_service import (
    SOUND,
    ScriptedService,
    event_stream,
    json_answer,
    script_a_song,
)

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "generators"
TOOLS = ROOT / "build" / "generators"
"""Where `make generators` installs the tools."""
PYTHON_TOOL = TOOLS / "venv" / "bin" / "openapi-python-client"
NODE_TOOLS = TOOLS / "node_modules" / ".bin"

needs_python_tool = pytest.mark.skipif(
    not PYTHON_TOOL.exists(), reason="openapi-python-client is not installed: make generators"
)
needs_node_tools = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_TOOLS / "openapi-typescript").exists(),
    reason="openapi-typescript is not installed: make generators, with Node.js",
)


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> Path:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "client" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(generate.openapi_document()), encoding="utf-8")
    return path


def example(status, **changes):
    """A job with every field that the service sends."""
    return EXAMPLE_JOB | {"id": "job_1", "status": status, **changes}


@pytest.fixture
def service():
    """One song, from the POST to its sound."""
    done = example("succeeded")
    progress = {"value": 0.5, "level": "top", "eta_seconds": None, "levels": {}}
    with ScriptedService() as service:
        script_a_song(service)
        service.on("POST", "/jobs", json_answer(example("queued"), 202))
        service.on("GET", "/jobs/job_1", json_answer(done))
        service.on(
            "GET",
            "/jobs/job_1/events",
            event_stream(
                ("progress", progress),
                ("status", {"status": "succeeded", "stage": "render", "job": done}),
            ),
        )
        yield service


def call(*command: object, cwd: Path) -> str:
    """What a command prints, standard error included. It must succeed."""
    path = f"{PYTHON_TOOL.parent}:{NODE_TOOLS}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_python_tool
def test_a_generated_python_client_makes_a_song(document, service, tmp_path):
    generate = ("generate", "--path", document, "--output-path", "generated", "--meta", "none")
    said = call(PYTHON_TOOL, *generate, "--fail-on-warning", cwd=tmp_path)
    assert said.splitlines() == ["Generating generated"]
    shutil.copy(SOURCES / "use.py", tmp_path)
    python = PYTHON_TOOL.parent / "python"
    said = call(python, "-W", "error", "use.py", service.url, cwd=tmp_path)
    assert said == f"succeeded 1 2 0.5 {SOUND.decode()}"
    assert service.asked("GET", "/jobs/job_1/audio")


@needs_node_tools
def test_generated_typescript_types_compile_and_make_a_song(document, service, tmp_path):
    said = call("openapi-typescript", document, "-o", "api.d.ts", cwd=tmp_path)
    assert "warn" not in said.lower()
    shutil.copy(SOURCES / "use.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    strict = ("--strict", "--target", "es2022", "--module", "es2022")
    resolve = ("--moduleResolution", "bundler", "--lib", "es2022,dom")
    call("tsc", *strict, *resolve, "use.ts", "api.d.ts", cwd=tmp_path)
    made = json.loads(call("node", "use.js", service.url, cwd=tmp_path))
    sha256 = EXAMPLE_JOB["outputs"][-1]["sha256"]
    assert made == {"id": "job_1", "seen": [0.5, 0.21], "sha256": sha256, "sound": SOUND.decode()}
