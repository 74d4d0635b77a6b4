"""The measurement of a worker's start runs; files leave the page cache and are read whole."""

import json
from pathlib import Path

import pytest
import torch

from bench.page_cache import evict, files_below, read_bytes_per_sec


@pytest.mark.e2e
def test_the_first_token_comes_after_the_start(capsys, monkeypatch):
    """Of all that a cold start needs, torch stays in the page cache: other tests use it too."""
    from bench.start import main

    torch_folder = Path(torch.__file__).parent
    monkeypatch.setattr(
        "bench.start.evict",
        lambda paths: evict([path for path in paths if torch_folder not in path.parents]),
    )
    main(["worker", "--repeats", "1"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["worker"]
    for kind in ("cold", "warm"):
        ready, first = (told[f"{kind}_{what}_seconds"] for what in ("ready", "first_token"))
        assert 0 < ready <= first


def test_files_are_the_same_after_they_were_put_out_of_the_cache(tmp_path):
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "file"
    path.write_bytes(b"x" * 1_000_000)
    assert files_below(tmp_path) == [path]
    evict([path])
    assert read_bytes_per_sec(path) > 0
    assert path.read_bytes() == b"x" * 1_000_000
