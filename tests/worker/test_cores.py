from pathlib import Path

import pytest

from jukebox_core.backends.cores import usable_cores


@pytest.mark.parametrize(
    ("limit", "most"),
    [("100000 100000", 1), ("150000 100000", 1), ("50000 100000", 1)],
    ids=["one core", "one and a half", "half a core"],
)
def test_a_container_with_a_share_of_the_cores_uses_whole_ones_and_at_least_one(
    tmp_path: Path, limit: str, most: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")

    assert usable_cores(tmp_path) == most


def test_a_container_without_a_quota_is_none(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")

    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none")
