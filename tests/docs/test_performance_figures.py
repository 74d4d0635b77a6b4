"""What the pictures of the page on performance are drawn from, without drawing them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "explanation" / "performance"


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw_performance", FOLDER / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tokens_per_second_stand_beside_theirs_and_the_floor(draw):
    row = {
        "prior": "upsampler",
        "width": 256,
        "batch": 4,
        "floor_ms": 0.5,
        "transformers_tokens_per_sec": 100.0,
    }
    rows = [
        row | {"step": "plain", "precision": "fp32", "tokens_per_sec": 200.0},
        row | {"step": "native", "precision": "int8", "tokens_per_sec": 400.0, "floor_ms": 0.1},
    ]
    assert draw.rates(rows) == {
        256: {
            "upsampler\n4": {
                "transformers": 100.0,
                "plain, fp32": 200.0,
                "floor": 8000.0,
                "native, int8": 400.0,
            }
        }
    }


def test_a_song_s_bar_is_as_long_as_the_song_took(draw):
    figures = {
        "parts": {"waiting": 0.25, "drawing": 2.0, "prompt": 0.0, "other": 0.5},
        "library_parts": {"draw": 2.0, "decode": 0.5, "previews": 1.0},
    }
    found = draw.song_parts({"exact": figures})
    assert found["service, exact"] == {"waiting": 0.25, "drawing": 2.0, "other": 0.5}
    assert found["library, exact"] == {"drawing": 2.0, "sound": 0.5}


def test_the_last_line_of_a_measurement_is_taken_over(draw, tmp_path):
    printed, kept = tmp_path / "printed.txt", tmp_path / "kept.json"
    printed.write_text('a table\n{"rows": [1, 2]}\n')
    draw.keep(printed, kept)
    assert json.loads(kept.read_text()) == {"rows": [1, 2]}
    with pytest.raises(SystemExit, match="is not known: sample"):
        draw.main(["songs=nowhere"])


def test_results_that_are_kept_can_be_drawn_and_every_picture_of_the_page_is_there(draw):
    for name in ("sample", "full"):
        file = FOLDER / f"{name}.json"
        if file.is_file():
            assert draw.rates(json.loads(file.read_text())["rows"])
    serve = FOLDER / "serve.json"
    if serve.is_file():
        assert draw.song_parts(json.loads(serve.read_text())["overhead"])
    page = (FOLDER.parent / "performance.md").read_text()
    for name in re.findall(r"\(performance/(\w+\.png)\)", page):
        assert (FOLDER / name).is_file()
