"""The page about the library: its blocks run one after the other, as a reader runs them."""

import os
import subprocess
import sys

from tests.docs.pages import blocks_of


def test_the_blocks_of_the_python_page_run_one_after_the_other(tmp_path, models_dir):
    os.symlink(models_dir, tmp_path / "models")
    blocks = blocks_of("docs/guides/python.md", "python")
    assert len(blocks) > 8
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(block.code for block in blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "waltz" in done.stdout
    assert "[length:" in done.stdout
