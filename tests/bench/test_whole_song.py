"""The measurement of a whole song through the service runs, and its arithmetic is right."""

import pytest

from bench import whole_song
from bench.whole_song import Look, errors_of, forecast_rows
from jukebox_core.tiny import write_tiny
from tests.bench.last_line import last_line


@pytest.mark.e2e
@pytest.mark.nightly("bench")
def test_a_song_is_watched_from_its_request_to_its_files(tmp_path):
    write_tiny(tmp_path / "models" / "tiny")
    told = last_line(whole_song.main, tmp_path / "models" / "tiny", "--seconds", 3)
    assert told["status"] == "succeeded"
    assert [row["level"] for row in told["levels"]] == ["top", "middle", "bottom"]
    assert told["files"] == ["top", "middle", "bottom"]
    # Rounded alike: a tiny song may end within the tenth of a second in which it began.
    assert 0 <= told["first_token_seconds"] <= told["seconds"]
    assert told["peak_resident_gb"] > 0
    assert told["predicted_seconds_of_20_s"] > 0


def test_a_forecast_is_compared_with_what_was_left():
    looks = [
        Look(
            at_sec=float(at),
            value=at / 200,
            eta_sec=None if at < 5 else 220.0 - at,
            level="top",
            memory={},
        )
        for at in range(0, 200, 2)
    ]
    assert [row["error"] for row in forecast_rows(looks, 200.0)] == [
        round(210 / 190 - 1, 3),
        round(190 / 170 - 1, 3),
        round(160 / 140 - 1, 3),
        round(100 / 80 - 1, 3),
        round(40 / 20 - 1, 3),
    ]
    errors = errors_of(looks, 200.0)
    assert errors["largest_progress_error"] == 0.0
    assert errors["largest_eta_error"] == round(32 / 12 - 1, 3)
