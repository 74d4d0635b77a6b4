"""`jukebox features` on many files: folders, lists, several layers, and going on after a stop."""

import json
import os

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import jukebox_core.checkpoints
from cli.errors import CliError, UsageError
from cli.feature_files import LIST_FILE
from cli.main import build_app
from jukebox_core.audio import read_audio, write_audio
from jukebox_core.checkpoints import load_directory
from jukebox_core.features import FeatureParams, extract_features

RATE_HZ = 16_000


def write_noise(file, seed, seconds=1.0):
    file.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    write_audio(file, torch.randn(int(seconds * RATE_HZ), generator=generator) / 5, RATE_HZ)
    return file


@pytest.fixture
def music(tmp_path):
    """Four sounds of one name in two folders, and what is no sound."""
    for seed, name in enumerate(("one/x.wav", "one/x.flac", "two/x.wav", "two/deep/y.ogg")):
        write_noise(tmp_path / "music" / name, seed)
    (tmp_path / "music" / "cover.jpg").write_bytes(b"no sound")
    write_noise(tmp_path / "music" / ".trash" / "old.wav", 9)
    return tmp_path / "music"


@pytest.fixture
def loads(monkeypatch):
    """Every loading of a prior."""
    loaded = []
    load = jukebox_core.checkpoints.load_prior_of

    def counted(*arguments, **options):
        loaded.append(arguments)
        return load(*arguments, **options)

    monkeypatch.setattr(jukebox_core.checkpoints, "load_prior_of", counted)
    return loaded


@pytest.fixture
def run(models_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        options = ["--model", "tiny", "--models-dir", str(models_dir), "--device", "cpu"]
        result = CliRunner().invoke(build_app(), ["features", *options, *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            result.exception.stderr = result.stderr
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def files_in(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_gives_a_file_for_each_sound_in_it_with_one_loading_of_the_model(
    run, music, loads, tmp_path, tiny_model_dir
):
    result = run(music, "--layer", "2", "-o", "out")
    assert result.stdout.strip() == "out/"
    assert "4 files written" in result.stderr
    names = ["one/x.flac.npy", "one/x.wav.npy", "two/deep/y.ogg.npy", "two/x.wav.npy"]
    assert files_in(tmp_path / "out") == sorted([LIST_FILE, *names])
    assert len(loads) == 1
    parts = load_directory(tiny_model_dir)
    for name in names:
        wanted = extract_features(
            parts.vqvae,
            parts.priors[0],
            read_audio(music / name.removesuffix(".npy"), sample_rate_hz=RATE_HZ),
            FeatureParams(layer=2, pool="mean"),
        )
        np.testing.assert_array_equal(np.load(tmp_path / "out" / name), wanted.values)
    rows = [json.loads(line) for line in (tmp_path / "out" / LIST_FILE).read_text().splitlines()]
    assert {row["file"] for row in rows} == set(names)
    row = next(row for row in rows if row["file"] == "two/x.wav.npy")
    assert row["source"] == str(music / "two" / "x.wav")
    assert (row["seconds"], row["vectors"], row["width"]) == (1.0, 1, 64)
    assert row["settings"]["layer"] == [2]


def test_several_layers_are_arrays_of_one_file(run, music, tmp_path):
    layers = ("--layer", "3", "--layer", "1")
    run(music / "one", music / "two" / "x.wav", *layers, "--pool", "none", "-o", "out")
    assert files_in(tmp_path / "out") == [
        *(LIST_FILE, "one/x.flac.npz", "one/x.wav.npz", "two/x.wav.npz")
    ]
    run(music / "two" / "x.wav", "--layer", "1", "--pool", "none", "-o", "alone.npy")
    with np.load(tmp_path / "out" / "two" / "x.wav.npz") as arrays:
        assert set(arrays) == {"layer_1", "layer_3"}
        np.testing.assert_array_equal(arrays["layer_1"], np.load(tmp_path / "alone.npy"))
        assert arrays["layer_3"].shape == arrays["layer_1"].shape
        assert (arrays["layer_3"] != arrays["layer_1"]).any()


def test_lists_and_patterns_name_files_too_and_each_is_done_once(run, music, tmp_path):
    (music / "list.txt").write_text("# mine\none/x.wav\n\ntwo/deep/y.ogg\n")
    run(music / "list.txt", f"{music}/**/*.wav", music / "one" / "x.wav", "-o", "out")
    wanted = [LIST_FILE, "one/x.wav.npy", "two/deep/y.ogg.npy", "two/x.wav.npy"]
    assert files_in(tmp_path / "out") == wanted


def test_the_same_command_goes_on_where_it_was_stopped(run, music, loads, tmp_path):
    done = run(music / "one", music / "two", "-o", "out")
    assert "done already" not in done.stderr
    out = tmp_path / "out"
    before = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    lost = out / "one" / "x.wav.npy"
    lost.unlink()
    cut = out / "two" / "x.wav.npy"
    cut.write_bytes(cut.read_bytes()[:-8])
    changed = write_noise(music / "one" / "x.flac", 77, seconds=1.5)
    result = run(music / "one", music / "two", "-o", "out")
    assert "1 of 4 files are done already" in result.stderr
    assert "3 files written" in result.stderr
    assert (out / "two/deep/y.ogg.npy").stat().st_mtime_ns == before["two/deep/y.ogg.npy"]
    assert np.load(cut).shape == np.load(lost).shape == (1, 64)
    rows = [json.loads(line) for line in (out / LIST_FILE).read_text().splitlines()]
    assert [row["seconds"] for row in rows if row["source"] == str(changed)] == [1.0, 1.5]
    loads.clear()
    assert "0 files written" in run(music / "one", music / "two", "-o", "out").stderr
    assert loads == []


def test_a_bad_file_among_many_is_a_sentence_and_the_others_are_done(run, music, tmp_path):
    (music / "one" / "bad.mp3").write_bytes(b"\0" * 4096)
    (music / "one" / "empty.wav").write_bytes(b"")
    write_noise(music / "one" / "click.wav", 5, seconds=0.001)
    with pytest.raises(CliError, match=r"4 of 8 files could not be read") as caught:
        run(music, music / "gone.wav", "-o", "out")
    said = [line for line in caught.value.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 4
    for name in ("bad.mp3", "empty.wav", "click.wav", "gone.wav"):
        assert any(name in line for line in said)
    assert len(files_in(tmp_path / "out")) == 5


@pytest.mark.parametrize("other", [("--layer", "1"), ("--pool", "none"), ("--seconds", "0.5")])
def test_features_of_other_settings_are_not_mixed_into_a_folder(run, music, loads, tmp_path, other):
    run(music, "--layer", "2", "-o", "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")}
    loads.clear()
    with pytest.raises(UsageError, match=r"made with other settings .* or add --overwrite"):
        run(music, *other, "-o", "out")
    assert loads == []
    after = {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")}
    assert after == before
    run(music, *other, "--overwrite", "-o", "out")


def test_a_file_of_another_origin_is_not_replaced(run, music, tmp_path):
    mine = tmp_path / "out" / "x.wav.npy"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        run(music / "one", "-o", "out")
    mine.unlink()
    run(music / "one", "-o", "out")
    with pytest.raises(UsageError, match=f"features of {music / 'one' / 'x.wav'}"):
        run(music / "two" / "x.wav", "-o", f"out{os.sep}")
    assert files_in(tmp_path / "out") == [LIST_FILE, "x.flac.npy", "x.wav.npy"]


def test_one_file_is_not_replaced_without_a_word(run, music, tmp_path):
    run(music / "one" / "x.wav")
    with pytest.raises(UsageError, match="exists already"):
        run(music / "one" / "x.wav")
    run(music / "one" / "x.wav", "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("music/two/deep/nothing",), "no sound files in"),
        (("music/**/*.aiff",), "no sound files in"),
        (("music", "-o", "music/cover.jpg"), "is a file"),
        (("music", "-o", "all.npz"), "is a file"),
        (("music", "--layer", "99"), "layers 1 to 4"),
        (("music", "--layer", "1", "--layer", "0"), "layers 1 to 4"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_model_is_loaded(
    run, music, loads, arguments, sentence
):
    (music / "two" / "deep" / "nothing").mkdir()
    with pytest.raises(Exception, match=sentence):
        run(*arguments)
    assert loads == []


def test_a_crash_before_a_file_appears_leaves_nothing_that_counts_as_done(
    run, music, tmp_path, monkeypatch
):
    run(music / "one" / "x.wav", "-o", f"out{os.sep}")
    write_noise(music / "one" / "x.wav", 8)

    def crash(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jukebox_core.atomic_files.os.replace", crash)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the runner makes of it
            run(music / "one" / "x.wav", "-o", f"out{os.sep}")
    assert files_in(tmp_path / "out") == [LIST_FILE]
    assert "1 files written" in run(music / "one" / "x.wav", "-o", f"out{os.sep}").stderr
