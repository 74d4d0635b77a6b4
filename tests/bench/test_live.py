"""The measurement of listening runs in its small form."""

import pytest

from bench import live
from tests.bench.last_line import last_line


@pytest.mark.e2e
@pytest.mark.nightly("bench")
def test_the_first_sound_stalls_and_the_cost_of_listeners_are_measured():
    told = last_line(live.main, "--quick")
    assert (told["model"], told["song_seconds"]) == ("mini", 3.0)
    assert 0 < told["first_sound_seconds"]["median"] <= told["first_sound_seconds"]["most"]
    assert told["heard_seconds"]["median"] == pytest.approx(3.0, abs=0.1)
    assert told["stalls"] >= 0
    for kind in ("alone", "one", "several"):
        assert told["job_seconds"][kind]["median"] > 0
        assert told["api_cpu_seconds"][kind]["median"] > 0
    assert told["times_slower_with_one"] > 0
