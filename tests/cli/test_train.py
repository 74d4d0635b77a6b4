"""`jukebox train` step by step on tones: what it says, and what a run that is stopped leaves."""

import json
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from cli.errors import CliError, UsageError
from cli.main import build_app
from jukebox_core.models.catalog import read_config
from jukebox_core.training.dataset.manifest import read_manifest
from jukebox_core.training.run_files import LOG_FILE, RunFiles
from tests.training.codec_runs import write_tones


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tones(tmp_path / "songs", seconds=1.5)

    def run(*arguments):
        result = CliRunner().invoke(build_app(), ["train", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def made(run, *levels):
    run("new", "songs", "mine", "--like", "tiny")
    for level in levels:
        run(*("vqvae", "songs", "mine", "--level", level, "--steps", 4, "--crop-samples", 2048))


@pytest.mark.parametrize("option", ["--license", "--licence"])
def test_the_license_of_a_new_model_is_written_with_either_spelling(run, tmp_path, option):
    run("new", "songs", "mine", "--like", "tiny", option, "CC-BY-4.0")
    assert read_config(tmp_path / "mine").licence == "CC-BY-4.0"


@pytest.mark.parametrize("command", ["new", "prior"])
def test_help_shows_the_us_spelling_of_an_option_alone(run, command):
    text = run(command, "--help").output
    assert "--license" in text or "--bar-position-weight" in text
    assert "--licence" not in text
    assert "--metre-weight" not in text


def next_of(result):
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Next: ")]
    return shlex.split(line.removeprefix("Next: "))


def test_each_step_names_the_next_and_the_last_one_names_a_song(run, tmp_path):
    command = next_of(run("new", "songs", "my model", "--like", "tiny"))
    commands = []
    while command[1] == "train":
        assert command[0] == "jukebox"
        commands.append(command[2:])
        small = ["--steps", "2"] if "--preset" in command else []
        command = next_of(run(*command[2:], *small))
    assert [" ".join(words) for words in commands] == [
        *(
            f"vqvae songs my model --level {level} --preset quick"
            for level in ("top", "middle", "bottom")
        ),
        "encode songs my model",
        *(
            f"prior songs my model --level {level} --preset quick"
            for level in ("top", "middle", "bottom")
        ),
    ]
    assert command[:4] == ["jukebox", "generate", "--model", "my model"]
    assert command[4:10] == ["--artist", "ann", "--genre", "hum", "--lyrics", "la le"]
    arguments = [*command[1:], "--models-dir", str(tmp_path), "--device", "cpu"]
    arguments[arguments.index("--seconds") + 1] = "1"
    song = CliRunner().invoke(build_app(), arguments)
    assert song.exit_code == 0, song.output
    assert (tmp_path / "my model.wav").read_bytes().startswith(b"RIFF")
    assert (tmp_path / "runs" / "my model" / "prior-bottom" / LOG_FILE).is_file()


def test_a_folder_of_recordings_without_a_list_gets_one(run, tmp_path):
    folder = write_tones(tmp_path / "tapes", num_songs=3, num_held_out=0)
    (folder / "songs.json").unlink()
    (folder / "Ann, live").mkdir()
    (folder / "1.wav").rename(folder / "Ann, live" / "monday.wav")
    (folder / "Ann, live" / "monday.txt").write_text("la le", encoding="utf-8")
    (folder / "cover.jpg").write_bytes(b"no sound")
    result = run("new", "tapes", "mine", "--like", "tiny")
    assert "wrote tapes/songs.csv with 3 files" in result.stderr.replace("\n", " ")
    written = (folder / "songs.csv").read_text(encoding="utf-8")
    assert {
        (song.name, song.artist, song.genre, song.lyrics) for song in read_manifest(folder)
    } == {
        ("0.wav", "unknown", "unknown", ""),
        ("2.wav", "unknown", "unknown", ""),
        ("Ann, live/monday.wav", "Ann, live", "unknown", "la le"),
    }
    names = (tmp_path / "mine" / "labels").glob("*.txt")
    assert any("ann" in file.read_text(encoding="utf-8").lower() for file in names)
    run("new", "tapes", "again", "--like", "tiny")
    assert (folder / "songs.csv").read_text(encoding="utf-8") == written


def test_a_folder_without_sound_is_refused_and_gets_no_list(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no sound files in empty"):
        run("new", "empty", "mine")
    assert list((tmp_path / "empty").iterdir()) == []
    with pytest.raises(UsageError, match="there is no folder nowhere"):
        run("new", "nowhere", "mine")


def test_the_first_line_comes_before_torch_is_loaded(tmp_path):
    # A process of its own: torch is there already in this one.
    script = """
import sys
from cli.main import build_app
from cli.commands.training import options as train_options

def check(what):
    sys.exit("torch is loaded" if "torch" in sys.modules else "said " + what)

train_options.begin = check
build_app()(sys.argv[1:])
"""
    for part in ("vqvae", "prior"):
        words = ["train", part, "songs", "mine", "--level", "top", "--preset", "quick"]
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=300,
        )
        assert done.stderr.startswith("said training the top"), done.stderr


def test_a_run_that_is_out_of_time_leaves_a_model_and_says_so_and_goes_on(run, tmp_path):
    made(run)
    words = ("vqvae", "songs", "mine", "--level", "top", "--steps", 40, "--crop-samples", 2048)
    before = load_file(tmp_path / "mine" / "vqvae.safetensors")
    result = run(*words, "--max-minutes", 0)
    assert "stopped at step 1 of 40. The model has the weights of this step" in result.stderr
    after = load_file(tmp_path / "mine" / "vqvae.safetensors")
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all(".2." in name for name in changed)  # the top level, and no other
    assert "stopped" not in run(*words).stderr
    log = (tmp_path / "runs" / "mine" / "vqvae-top" / LOG_FILE).read_text().splitlines()
    assert json.loads(log[-1])["step"] == 40


def test_codes_of_an_untrained_codec_are_refused_with_what_to_do(run):
    made(run)
    with pytest.raises(CliError, match=r"uses 1 of 256 codes .* train vqvae songs mine --level"):
        run("encode", "songs", "mine")
    with pytest.raises(CliError, match="A prior can learn nothing"):
        run("prior", "songs", "mine", "--level", "top", "--steps", 2)
    made_codec = ("vqvae", "songs", "mine", "--crop-samples", 2048, "--steps", 4, "--level")
    for level in ("top", "middle", "bottom"):
        run(*made_codec, level)
    assert "prior songs mine --level top" in run("encode", "songs", "mine").stderr


def test_a_number_of_minutes_gives_a_number_of_steps_that_a_stopped_run_keeps(
    run, tmp_path, monkeypatch
):
    made(run)
    paces = iter([0.5, 0.001])
    measured = []

    def pace(task, settings, device, *, max_threads):
        from jukebox_core.training.pace import Pace

        measured.append(settings.steps)
        return Pace(1, next(paces))

    monkeypatch.setattr("jukebox_core.training.pace.measure_pace", pace)
    words = ("vqvae", "songs", "mine", "--level", "top", "--crop-samples", 2048)
    words += ("--preset", "quick", "--minutes", 0.6)
    result = run(*words, "--max-minutes", 0)
    assert "0.5 s per step" in result.stderr
    assert "72 steps take about 36 s" in result.stderr
    assert "stopped at step 1 of 72" in result.stderr
    run(*words)
    state = RunFiles(tmp_path / "runs" / "mine" / "vqvae-top").load_state()
    assert (state["step"], state["settings"]["steps"]) == (72, 72)
    assert state["settings"]["batch_size"] == 4
    assert measured == [4_000]


def test_what_was_typed_counts_more_than_the_preset(run, tmp_path):
    made(run)
    result = run(
        *("vqvae", "songs", "mine", "--level", "top", "--preset", "quick", "--crop-samples", 2048),
        *("--batch", 8, "--steps", 3, "--threads", 1),
    )
    assert "per step" not in result.stderr
    settings = RunFiles(tmp_path / "runs" / "mine" / "vqvae-top").load_state()["settings"]
    assert (settings["batch_size"], settings["steps"], settings["warmup_steps"]) == (8, 3, 20)


def test_lines_are_no_wider_than_eighty_columns(run):
    made(run)
    result = run(
        *("vqvae", "songs", "mine", "--level", "top", "--steps", 4, "--crop-samples", 2048),
        *("--log-every", 1),
    )
    lines = [line for line in result.stderr.splitlines() if "loss" in line or "held" in line]
    assert len(lines) == 5
    assert max(map(len, result.stderr.splitlines())) <= 80


@pytest.mark.parametrize("level", ["floor", ""])
def test_a_level_that_is_none_is_refused_before_anything_is_loaded(run, level):
    for part in ("vqvae", "prior"):
        with pytest.raises((CliError, UsageError), match="top, middle or bottom"):
            run(part, "songs", "mine", "--level", level)
