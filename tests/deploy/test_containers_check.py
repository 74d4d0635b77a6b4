"""`make containers`, which needs a real Docker Engine, as far as it can be judged without one."""

import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "containers"
README = (FOLDER.parents[1] / "deploy" / "README.md").read_text()
STEPS = (FOLDER / "steps.sh").read_text()
CHECK = (FOLDER / "check.sh").read_text()


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_well_formed(script):
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_step_is_run():
    listed = re.search(r"^STEPS=\((.*?)\)", CHECK, re.DOTALL | re.MULTILINE)[1].split()
    assert set(listed) == set(re.findall(r"^step_(\w+)\(\)", STEPS, re.MULTILINE))


def blocks(section):
    [text] = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```sh$(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_page_are_those_that_are_run():
    used = {(name, int(at)) for name, at in re.findall(r'page "([\w ]+)" (\d)', STEPS)}
    assert {name for name, _ in used} == {
        *("First start", "Models", "Figures", "Object storage", "Upgrade", "Backup")
    }
    for section, at in used:
        assert blocks(section)[at - 1].strip()


def test_ci_runs_it_when_something_changed():
    assert (
        "tests/containers/check.sh --if-changed" in (FOLDER.parents[1] / ".ci" / "run").read_text()
    )
