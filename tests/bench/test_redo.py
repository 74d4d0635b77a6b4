"""The measurement of redone sections runs, and says what it promises to say."""

from bench import redo
from tests.bench.last_line import last_line


def test_every_border_of_a_section_is_measured_with_both_kinds_of_noise():
    told = last_line(redo.main, "--songs", 1, "--seconds", 6)
    assert told["model"] == "mini"
    assert [row["noise"] for row in told["sections"]] == ["old", "new"]
    for row in told["sections"]:
        assert set(row["db"]) == {"start", "top", "middle", "bottom"}
        assert all(0.0 <= rank <= 1.0 for rank in row["mean_rank"].values())
        assert all(0.0 <= share <= 1.0 for share in row["codes_that_agree"].values())
        assert row["db_elsewhere"] > 0.0
