"""`python -m recipes.mini.evaluate`: files, pictures and the JSON in the last line."""

import json

import pytest
from typer.testing import CliRunner

from recipes.mini.evaluate import app
from recipes.mini.synth.folder import write_songs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    manifest = write_songs(folder, 12, 3, duration_sec=(8.0, 8.5))
    rows = json.loads(manifest.read_text())
    for row in rows[:4]:
        row["held_out"] = True
    manifest.write_text(json.dumps(rows))
    return folder


def run(models_dir, *arguments):
    result = CliRunner().invoke(app, [*arguments, "--quick", "--models-dir", str(models_dir)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_a_codec_is_examined_with_the_held_out_songs_of_a_folder(models_dir, data, tmp_path):
    file = tmp_path / "codec.json"
    figures = run(models_dir, "codec", "tiny", str(data), "--levels", "top", "-o", str(file))
    assert figures["unheard_songs"] == 4
    assert list(figures["levels"]) == ["top"]
    assert json.loads(file.read_text()) == figures


def test_an_evaluation_leaves_figures_pictures_and_songs(models_dir, tmp_path):
    figures = run(
        models_dir,
        "mini",
        "tiny",
        "-o",
        str(tmp_path),
        "--parts",
        "alignment,obedience",
        "--processes",
        "1",
    )
    assert json.loads((tmp_path / "evaluation.json").read_text()) == figures
    for name in ("confusion-genre", "confusion-artist", "alignment", "drawn-00", "original-00"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "drawn-00.wav").is_file()


def test_an_unknown_part_is_named(models_dir):
    result = CliRunner().invoke(
        app, ["mini", "tiny", "--parts", "taste", "--models-dir", str(models_dir)]
    )
    assert result.exit_code == 2
    assert "taste" in result.output
