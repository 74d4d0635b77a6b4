"""The map of the house is the house."""

import ast
import re
import runpy
import tomllib

import pytest

from tests.docs.pages import ROOT, links_of

PAGES = [
    str(path.relative_to(ROOT))
    for pages in (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "deploy").glob("*.md"))
    for path in sorted(pages)
]
TREE = runpy.run_path(str(ROOT / "docs" / "tree.py"))


def test_the_tree_in_the_documentation_is_the_tree_on_disk():
    page = (ROOT / "docs" / "explanation" / "structure.md").read_text(encoding="utf-8")
    wanted = TREE["page_with"](TREE["tree"]())
    missing = set(wanted.splitlines()) ^ set(page.splitlines())
    assert not missing, "run `python docs/tree.py`"


def test_the_import_order_in_the_documentation_is_the_one_that_is_enforced():
    page = (ROOT / "docs" / "explanation" / "structure.md").read_text(encoding="utf-8")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (inside,) = (rule for rule in contracts if rule.get("containers") == ["jukebox_core"])
    assert " > ".join(inside["layers"]) in page


def test_every_file_says_what_it_is_for():
    silent = [line for line in TREE["tree"]().splitlines() if line.endswith(".py")]
    assert silent == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_somewhere(page):
    path = ROOT / page
    dead = [link for link in links_of(path) if not (path.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_on_a_page_is_in_the_makefile(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^)make ([a-z]+)\b", (ROOT / page).read_text(encoding="utf-8"), re.M)
    assert [name for name in named if f"\n{name}:" not in makefile] == []


def test_files_that_the_pages_name_exist():
    text = (
        (ROOT / "docs" / "explanation" / "structure.md")
        .read_text(encoding="utf-8")
        .partition("<!-- tree")[0]
    )
    named = [word for word in text.split("`")[1::2] if "/" in word and " " not in word]
    assert named
    gone = [name for name in named if not name.startswith("POST") and not (ROOT / name).exists()]
    assert gone == []


def test_the_api_page_lists_every_code_of_an_error():
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    codes = codes_in("api", "ApiError", position=1) | codes_in("jobs", "JobError", keyword="code")
    codes |= codes_in("worker", "JobError", keyword="code")
    assert len(codes) > 12
    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def codes_in(package, class_name, *, position=None, keyword=None):
    """String constants given to a class as its code, wherever a package makes one."""
    found = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == class_name):
                continue
            given = [word.value for word in node.keywords if word.arg == keyword]
            given += node.args[position : position + 1] if position is not None else []
            found |= {value.value for value in given if isinstance(value, ast.Constant)}
    return found
