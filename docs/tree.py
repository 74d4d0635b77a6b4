"""Writes the tree in `docs/explanation/structure.md`: every file with its first sentence.

`python docs/tree.py`, from anywhere; a test tells when it is due.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "structure.md"
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->\n"
PACKAGES = (
    *("jukebox_core", "jobs", "api", "worker", "cli", "client/jukebox_client", "studio"),
    "recipes",
)
OTHERS = {
    "tests/": "mirrors the packages; plus parity/ (golden numbers), deploy/, docs/ and e2e/",
    "docs/": "these pages",
    "bench/": "measures that a person runs; imported by nothing, the last line of each is JSON",
    "client/": "the distribution jukebox-client; `generate.py` writes its models and its twin",
    "deploy/": "images and overlays",
    "Makefile": "one command for each thing a person does here; CI runs the same ones",
    "pyproject.toml": "dependencies by part, and the settings of every tool",
    "constraints.txt": "the exact versions that CI runs",
    "docker-compose.yml": "the service in containers",
    "Dockerfile.gpu": "the image of a worker",
    ".ci/run": "what every change must pass",
}
_COLUMN = 40


def tree() -> str:
    """The tree as Markdown, one line per file."""
    lines = [line for package in PACKAGES for line in _package_lines(package)]
    lines += [_line(0, name, about) for name, about in OTHERS.items() if (ROOT / name).exists()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def page_with(text: str) -> str:
    """The page with `text` between the marks."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{text}{END}{tail}"


def _package_lines(package: str) -> list[str]:
    """A folder's own line, its files, then its folders."""
    lines = []
    files = sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))
    folders = sorted({file.parent for file in files})
    for folder in folders:
        depth = len(folder.relative_to(package).parts)
        lines.append(
            _line(
                depth,
                f"{folder.name if depth else package}/",
                _first_sentence(ROOT / folder / "__init__.py"),
            )
        )
        inside = [file for file in files if file.parent == folder]
        lines += [
            _line(depth + 1, file.name, _first_sentence(ROOT / file))
            for file in inside
            if file.name != "__init__.py"
        ]
    return lines


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).rstrip(".")


def _line(depth: int, name: str, about: str) -> str:
    return f"{'    ' * depth + name:<{_COLUMN}}{about}".rstrip()


if __name__ == "__main__":
    PAGE.write_text(page_with(tree()), encoding="utf-8")
