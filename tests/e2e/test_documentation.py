"""What the pages tell a reader to type works, and answers what they show."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.local.stack import Stack
from cli.options import DEFAULT_URL
from tests.docs.pages import ROOT, Block, blocks_of
from tests.e2e.conftest import environment_of, shell

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

EXACT = ("status", "code", "type", "detail", "object", "levels")
"""Fields of an answer that must come as the page shows them."""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def run_blocks(blocks: list[Block], stack: Stack, cwd: Path) -> list[str]:
    """Run blocks in one shell, so that variables live on; returns what each wrote."""
    assert blocks, "no such blocks on the page"
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        code = block.code.replace(DEFAULT_URL, stack.url)
        script.append(f"{{\n{code}\n}} > answer-{number}.txt")
    shell("\n".join(script), environment=environment_of(stack), cwd=cwd)
    return [
        (cwd / f"answer-{number}.txt").read_text(encoding="utf-8", errors="replace")
        for number in range(len(blocks))
    ]


def assert_same_shape(shown: Any, found: Any, where: str = "") -> None:
    """The same fields of the same kinds; a page may show fewer entries, levels or input fields."""
    if isinstance(shown, dict):
        assert isinstance(found, dict), where
        is_excerpt = where.endswith((".input", ".labels", ".metrics.levels"))
        gone, untold = set(shown) - set(found), set(found) - set(shown)
        assert not gone, f"{where} has no {gone}"
        assert is_excerpt or not untold, f"{where} also has {untold}"
        for name in shown:
            assert_same_shape(shown[name], found[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(found, list), where
        assert bool(found) == bool(shown), f"{where}: {len(shown)} shown, {len(found)} came"
        for first, other in zip(shown[:1], found[:1], strict=True):
            assert_same_shape(first, other, f"{where}[0]")
    elif isinstance(shown, float):
        assert isinstance(found, (int, float)), f"{where}: {found!r}"
    else:
        assert type(shown) is type(found), f"{where}: {shown!r} is shown, {found!r} came"


@needs_curl
@needs_jq
def test_every_example_of_the_api_page_answers_as_shown(fresh_stack, tmp_path):
    blocks = blocks_of("docs/reference/api.md", "api")
    answers = run_blocks(blocks, fresh_stack, tmp_path)
    for block, answer in zip(blocks, answers, strict=True):
        if block.answer.startswith("{"):
            shown, found = json.loads(block.answer), json.loads(answer)
            assert_same_shape(shown, found)
            for name in EXACT:
                assert shown.get(name) == found.get(name), block.code
        elif block.answer:
            assert answer.strip() == block.answer.strip()


def test_the_api_page_names_every_endpoint(client):
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    document = client.get_openapi()
    endpoints = [
        f"{method.upper()} {path.replace('{job_id}', '{id}')}"
        for path, methods in document["paths"].items()
        for method in methods
        if method != "head"
    ]
    assert len(endpoints) > 8
    assert [endpoint for endpoint in endpoints if f"`{endpoint}`" not in page] == []


@needs_curl
def test_the_readme_s_five_lines_of_curl_fetch_a_song(fresh_stack, tmp_path):
    (block,) = blocks_of("README.md", "readme-api")
    assert len(block.code.splitlines()) == 5
    run_blocks([block], fresh_stack, tmp_path)
    assert (tmp_path / "song.wav").read_bytes().startswith(b"RIFF")


def test_the_readme_s_command_line_and_python_work_one_after_the_other(fresh_stack, tmp_path):
    shell, python = blocks_of("README.md", "readme-cli"), blocks_of("README.md", "readme-python")
    run_blocks(shell, fresh_stack, tmp_path)
    assert (tmp_path / "alone.wav").exists()
    (block,) = python
    python_command = [sys.executable, "-c", block.code]
    subprocess.run(python_command, cwd=tmp_path, env=environment_of(fresh_stack), check=True)
    assert (tmp_path / "song.wav").read_bytes().startswith(b"RIFF")


def test_the_examples_of_the_client_page_work_one_after_the_other(fresh_stack, tmp_path):
    code = "\n".join(block.code for block in blocks_of("docs/guides/client.md", "client"))
    done = subprocess.run(
        [sys.executable, "-c", code.replace(DEFAULT_URL, fresh_stack.url)],
        cwd=tmp_path,
        env=environment_of(fresh_stack),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "succeeded 16000 song.wav"
    assert "invalid_request /duration_seconds" in said
    assert said[-2:] == ["job_not_found", "2"]
    assert (tmp_path / "take-0.flac").read_bytes().startswith(b"fLaC")
    assert (tmp_path / "live.wav").read_bytes().startswith(b"RIFF")


def test_the_commands_of_the_models_page_work(stack, tmp_path):
    blocks = blocks_of("docs/guides/models.md", "models")
    (listed,) = run_blocks(blocks, stack, tmp_path)
    assert "tiny" in listed


def test_the_commands_of_the_page_without_a_gpu_sing_with_another_model(fresh_stack, tmp_path):
    blocks = blocks_of("docs/guides/without-a-gpu.md", "without-a-gpu-song")
    blocks = [replace(each, code=each.code.replace("1b_lyrics", "mini")) for each in blocks]
    run_blocks(blocks, fresh_stack, tmp_path)
    assert (tmp_path / "song.wav").read_bytes().startswith(b"RIFF")


def test_the_commands_of_the_command_line_page_work_one_after_the_other(fresh_stack, tmp_path):
    blocks = blocks_of("docs/guides/cli.md", "cli")
    composed, *_ = run_blocks(blocks, fresh_stack, tmp_path)
    *_, upsampled, spliced = composed.splitlines()
    assert "upsample of take 0" in upsampled
    assert "splice" in spliced
    for name in (
        "song.wav",
        "repeated.wav",
        "longer.flac",
        "song.lrc",
        "song.vtt",
        "jig.wav",
        "on.wav",
    ):
        assert (tmp_path / name).stat().st_size > 0


def test_the_commands_of_the_first_tutorial_make_a_song(fresh_stack, tmp_path):
    blocks = blocks_of("docs/tutorials/first-song.md", "first-song")
    answers = run_blocks(blocks, fresh_stack, tmp_path)
    assert len(list((tmp_path / "drafts").iterdir())) == 3
    assert (tmp_path / "song.flac").read_bytes().startswith(b"fLaC")
    assert "[" in (tmp_path / "song.lrc").read_text(encoding="utf-8")
    assert any("succeeded" in answer for answer in answers)
