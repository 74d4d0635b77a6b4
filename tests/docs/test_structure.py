"""The map of the house is the house."""

import runpy

import pytest

from tests.docs.pages import ROOT, links_of

TREE = runpy.run_path(str(ROOT / "docs" / "tree.py"))


def test_the_tree_in_the_documentation_is_the_tree_on_disk():
    page = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    wanted = TREE["page_with"](TREE["tree"]())
    missing = set(wanted.splitlines()) ^ set(page.splitlines())
    assert not missing, "run `python docs/tree.py`"


def test_every_file_says_what_it_is_for():
    silent = [line for line in TREE["tree"]().splitlines() if line.endswith(".py")]
    assert silent == []


@pytest.mark.parametrize(
    "page", ["README.md", *[f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")]]
)
def test_links_between_the_pages_lead_somewhere(page):
    path = ROOT / page
    dead = [link for link in links_of(path) if not (path.parent / link).exists()]
    assert dead == []


def test_files_that_the_pages_name_exist():
    text = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8").partition("<!-- tree")[0]
    named = [word for word in text.split("`")[1::2] if "/" in word and " " not in word]
    assert named
    gone = [name for name in named if not name.startswith("POST") and not (ROOT / name).exists()]
    assert gone == []
