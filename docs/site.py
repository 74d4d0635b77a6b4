"""Builds the documentation as a site: `python docs/site.py`, into `build/site`; broken links fail.

Pages are written for the repository, where they may be read without the site. Before the build
they are copied together, with those that lie outside `docs/`, and their links are adapted.
"""

import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "pages"
OUTSIDE = {
    "README.md": "index.md",
    "deploy/README.md": "guides/operation.md",
    "deploy/kubernetes/README.md": "guides/kubernetes.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
"""Places in the site by those in the repository. The site has a first page of its own."""

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")


def collect_pages() -> None:
    """Copy everything that the site consists of into `build/pages`."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    uris = {f"docs/{path.relative_to(PAGES)}": str(path.relative_to(PAGES)) for path in _files()}
    uris |= OUTSIDE
    for path, uri in uris.items():
        if path.endswith(".md") and path != "README.md":
            page = PAGES / uri
            page.parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / path).read_text(encoding="utf-8")
            page.write_text(_with_links_of_site(text, path, uris), encoding="utf-8")


def _files() -> list[Path]:
    return [path for path in PAGES.rglob("*") if path.is_file()]


def _with_links_of_site(text: str, path: str, uris: dict[str, str]) -> str:
    """The page at `path`, whose links lead to pages of the site, or are text where it has none."""

    def replaced(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or ":" in target:
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if wanted not in uris and (ROOT / wanted).exists():
            return match["text"]
        to = posixpath.relpath(uris.get(wanted, wanted), posixpath.dirname(uris[path]))
        return f"[{match['text']}]({to}{match['anchor'] or ''})"

    return _LINK.sub(replaced, text)


def main() -> int:
    """Exit status of the build: not 0 when a link leads nowhere."""
    collect_pages()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
