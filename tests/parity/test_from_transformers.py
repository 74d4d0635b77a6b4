"""The page for people who come from transformers: its scripts run, and its numbers are measured."""

import json
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT, blocks_of

pytestmark = [pytest.mark.hf, pytest.mark.nightly("transformers")]

PAGE = "docs/guides/from_transformers.md"
SECONDS = 0.024  # eight top tokens: what a small model sings in a second


def rows_with_a_measure():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    cells = [
        re.split(r"(?<!\\) \| ", line.strip("| "))
        for line in text.splitlines()
        if re.match(r"\| `\w+` \|", line)
    ]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.fixture(scope="module")
def measured():
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity.differences"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def as_shown(value):
    return value if isinstance(value, str) else json.dumps(value)


def test_every_number_of_the_page_is_what_both_libraries_give(measured):
    shown = {name: row for name, row in rows_with_a_measure().items() if len(row) == 3}
    assert set(shown) == set(measured) - {"differences"}
    for name, (_, theirs, ours) in shown.items():
        found = [as_shown(measured[name][side]) for side in ("theirs", "ours")]
        assert found == [theirs, ours], name


def test_what_the_page_calls_the_same_is_the_same(measured):
    bounds = {name: float(row[1]) for name, row in rows_with_a_measure().items() if len(row) == 2}
    assert set(bounds) == set(measured["differences"])
    for name, difference in measured["differences"].items():
        assert difference <= bounds[name], name


@pytest.mark.parametrize("group", ["transformers", "from-transformers"])
def test_the_scripts_of_the_page_sing(group, tmp_path):
    from tests.parity.transformers_directory import write_directory

    write_directory(tmp_path / "openai" / "jukebox-5b-lyrics", "5b")
    blocks = blocks_of(PAGE, group)
    assert blocks
    script = "\n".join(block.code for block in blocks)
    assert "SECONDS = 24.0" in script
    script = script.replace("SECONDS = 24.0", f"SECONDS = {SECONDS}")
    done = subprocess.run(
        [sys.executable, "-c", script + "\nprint(list(audio.shape))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[1, 1024, 1]"
