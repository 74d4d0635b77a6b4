"""The measurement of joins runs in its small form, and says what it promises to say."""

from bench import splice
from tests.bench.last_line import last_line


def test_joins_are_measured_plain_mended_and_generated_anew():
    found = last_line(splice.main, "mini", "--songs", 1, "--seconds", 2, "--mend", 0, 0.2)
    plain, mended, anew = found["splices"]
    assert [row["mend_seconds"] for row in (plain, mended, anew)] == [0, 0.2, None]
    for row in (plain, mended, anew):
        assert row["joins"] == 1
        assert row["db_at_joins"] > 0
        assert 0 <= row["rank_of_joins"] <= 1
        assert row["db_elsewhere"] > 0
    assert "db_at_returns" not in plain
    assert mended["db_at_returns"] > 0
