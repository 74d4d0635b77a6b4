"""The pages become a site, offline, and every link leads somewhere."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

SITE = ROOT / "build" / "site"
ELSEWHERE = re.compile(
    r"""(?:<script[^>]*\ssrc|<img[^>]*\ssrc|<link[^>]*\shref)=["']?(https?://[^"'> ]+)"""
)


@pytest.fixture(scope="module")
def site():
    no_network = {
        **os.environ,
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = [sys.executable, str(ROOT / "docs" / "site.py")]
    done = subprocess.run(
        command, env=no_network, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SITE


def test_every_page_of_the_repository_is_in_the_site(site):
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 12
    assert [page for page in pages if not (site / page.with_suffix(".html")).exists()] == []
    for name in ("guides/operation", "project/changelog", "project/contributing"):
        assert (site / f"{name}.html").exists()


def test_the_reference_has_the_docstrings_of_the_public_names(site):
    page = (site / "reference" / "library.html").read_text(encoding="utf-8")
    for name in ("JukeboxModel.from_pretrained", "JukeboxModel.ancestral_sample", "write_audio"):
        assert name in page


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = {
        url
        for path in site.rglob("*.html")
        for url in ELSEWHERE.findall(path.read_text(encoding="utf-8"))
    }
    assert loaded == set()
