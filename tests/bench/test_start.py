"""The measurement of a worker's start runs; files leave the page cache and are read whole."""

from pathlib import Path

import pytest
import torch

from bench import start
from tests.bench.last_line import last_line


@pytest.mark.e2e
@pytest.mark.nightly("bench")
def test_the_first_token_comes_after_the_start(monkeypatch):
    """Of all that a cold start needs, torch stays in the page cache: other tests use it too."""
    torch_folder, evict = Path(torch.__file__).parent, start.evict
    monkeypatch.setattr(
        start, "evict", lambda paths: evict([p for p in paths if torch_folder not in p.parents])
    )
    told = last_line(start.main, "worker", "--repeats", 1)["worker"]
    for kind in ("cold", "warm"):
        assert 0 < told[f"{kind}_ready_seconds"] <= told[f"{kind}_first_token_seconds"]


def test_loading_is_compared_with_reading(monkeypatch):
    from jukebox_core.tiny import tiny_config

    monkeypatch.setattr(start, "released_config", lambda _: tiny_config())
    told = last_line(start.main, "loading", "--repeats", 1)["loading"]
    for kind in ("cold", "warm"):
        assert told[f"{kind}_load_gb_per_sec"] > 0 < told[f"{kind}_read_gb_per_sec"]
        assert told[f"{kind}_share"] > 0


def test_files_are_the_same_after_they_were_put_out_of_the_cache(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    start.evict([path])
    assert start.read_through(path) == 1_000_000
    assert path.read_bytes() == b"x" * 1_000_000
