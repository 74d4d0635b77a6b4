"""`jukebox models`: from a server of files, without a service."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from cli.commands import model_files
from cli.errors import CliError
from cli.main import build_app
from jobs.model_figures import ModelFigures, write_figures
from jukebox_core.errors import DownloadError, JukeboxError, ModelNotFound
from jukebox_core.models.catalog import read_config
from tests.docs.pages import blocks_of
from tests.fixtures.file_server import file_server
from tests.fixtures.released_models import GOLDEN, golden_files, serve_original, small_model

__all__ = ["file_server"]

UPSAMPLER = "/models/5b/prior_level_0.pth.tar"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run `jukebox models ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(build_app(), ["models", *map(str, arguments)])
        if isinstance(result.exception, (CliError, JukeboxError)):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


@pytest.fixture
def small_1b(monkeypatch):
    """The command fetches a small model where the real one would take 12 GB."""
    monkeypatch.setattr(model_files, "released_model", small_model)
    return small_model("1b_lyrics")


def states(result):
    return {model["name"]: model["state"] for model in json.loads(result.stdout)}


def pull_arguments(server):
    urls = ("--weights-url", f"{server.url}/models", "--labels-url", f"{server.url}/ids")
    return ("pull", "1b_lyrics", "--accept-license", "--models-dir", "m", *urls)


def test_the_list_tells_what_is_there_and_what_could_be(run, models_dir, tmp_path):
    (tmp_path / "m" / "wrong").mkdir(parents=True)
    (tmp_path / "m" / "wrong" / "config.json").write_text("{")
    (tmp_path / "m" / "tiny").symlink_to(models_dir / "tiny")
    wanted = {"tiny": "ready", "wrong": "broken", "mini": "ready"}
    wanted |= dict.fromkeys(("5b", "5b_lyrics", "1b_lyrics"), "absent")
    assert states(run("list", "--json", "--models-dir", "m")) == wanted
    assert states(run("--json", "--models-dir", "m")) == wanted


def test_the_list_shows_memory_and_time_of_this_machine_in_80_columns(
    run, models_dir, monkeypatch, tmp_path
):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1b_lyrics").symlink_to(models_dir / "tiny")
    figures = ModelFigures(
        setup="", memory_bytes=5_900_000_000, seconds_per_second=241.7, seconds_in_parallel=88.0
    )
    (tmp_path / "data").mkdir()
    write_figures(tmp_path / "data", {"1b_lyrics": figures})
    shown = run("--models-dir", "m", "--data-dir", "data").stdout
    lines = [line for line in shown.splitlines() if line.startswith("1b_lyrics")]
    assert "5.9 GB" in lines[0]
    assert "242 s/s" in lines[0]
    assert max(len(line) for line in shown.splitlines()) <= 80
    listed = json.loads(run("--json", "--models-dir", "m", "--data-dir", "data").stdout)
    (model,) = (each for each in listed if each["name"] == "1b_lyrics")
    assert model["estimated_seconds_per_second_in_parallel"] == 88.0
    assert model["memory_bytes"] == 5_900_000_000


def test_nothing_is_fetched_before_the_licence_is_accepted(run, tmp_path):
    with pytest.raises(CliError, match=r"no commercial use.*--accept-license"):
        run("pull", "5b", "--models-dir", "m")
    assert list(tmp_path.iterdir()) == []


def test_only_released_models_have_names(run):
    with pytest.raises(ModelNotFound, match="5b, 5b_lyrics, 1b_lyrics"):
        run("pull", "9b", "--accept-license")


def test_what_the_hub_has_not_is_said_at_once(run):
    with pytest.raises(CliError, match=r"hub has no port of 5b: .*--from original"):
        run("pull", "5b", "--accept-license", "--from", "hub")


def test_a_pulled_model_is_listed_and_whole(run, file_server, small_1b, tmp_path):
    serve_original(file_server, small_1b)
    result = run(*pull_arguments(file_server))
    assert result.stdout.strip() == "m/1b_lyrics"
    assert "writing prior_top.safetensors" in result.stderr
    assert states(run("list", "--json", "--models-dir", "m"))["1b_lyrics"] == "ready"
    report = run("verify", "--models-dir", "m").stdout
    assert report.count("fine 1b_lyrics") == 6
    assert report.count("the hash is right") == 4


def test_the_same_command_goes_on_after_a_failure(run, file_server, small_1b):
    serve_original(file_server, small_1b)
    content = file_server.files.pop(UPSAMPLER)
    with pytest.raises(DownloadError, match="404"):
        run(*pull_arguments(file_server))
    assert states(run("list", "--json", "--models-dir", "m"))["1b_lyrics"] == "absent"
    file_server.files[UPSAMPLER] = content
    file_server.requests.clear()
    run(*pull_arguments(file_server))
    assert {path for _, path, _ in file_server.requests} == {UPSAMPLER}


def test_int8_weights_are_pulled_or_made_of_a_model_that_is_there(run, file_server, small_1b):
    serve_original(file_server, small_1b)
    pulled = run(*pull_arguments(file_server), "--precision", "int8").stdout.strip()
    assert run("verify", "--models-dir", "m").stdout.count("the hash is right") == 4
    with pytest.raises(JukeboxError, match="there already, with int8 weights"):
        run(*pull_arguments(file_server), "--precision", "original")
    arguments = (*pull_arguments(file_server), "--models-dir", "whole")
    run(*arguments)
    with pytest.raises(JukeboxError, match="jukebox models convert") as refused:
        run(*arguments, "--precision", "int8")
    command = str(refused.value).split("`")[1].removeprefix("jukebox models ").split()
    run(*command)
    for file in Path(pulled).glob("*.safetensors"):
        assert file.read_bytes() == Path("whole", "1b_lyrics", file.name).read_bytes()
    with pytest.raises(JukeboxError, match="int8 weights: what they were made from"):
        run("convert", pulled, "back", "--dtype", "float32")
    assert not Path("back").exists()


def test_the_commands_of_the_page_without_a_gpu_work(
    run, file_server, small_1b, monkeypatch, tmp_path
):
    serve_original(file_server, small_1b)
    monkeypatch.setenv("JUKEBOX_WEIGHTS_URL", f"{file_server.url}/models")
    monkeypatch.setenv("JUKEBOX_LABELS_URL", f"{file_server.url}/ids")
    page = "docs/guides/without-a-gpu.md"
    commands = [
        line.split()[2:]
        for group in ("without-a-gpu-pull", "without-a-gpu-convert")
        for block in blocks_of(page, group)
        for line in block.code.splitlines()
    ]
    (pull, verify, convert) = commands
    run(*pull)
    run(*verify)
    folder = tmp_path / "jukebox-data" / "models" / "1b_lyrics"
    files = {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}
    shutil.rmtree(folder)
    run(*(each for each in pull if each not in ("--precision", "int8")))
    run(*convert)
    assert {file.name: file.read_bytes() for file in folder.glob("*.safetensors")} == files
    (doctor,) = blocks_of(page, "without-a-gpu-doctor")
    assert doctor.code == "jukebox doctor\n"
    found = CliRunner().invoke(build_app(), ["doctor", "--json"]).stdout
    assert "without GPU" in {finding["what"] for finding in json.loads(found)}


def test_verify_names_the_model_that_is_broken(run, models_dir, tmp_path):
    (tmp_path / "half").mkdir()
    for file in (models_dir / "tiny").iterdir():
        if file.name != "vqvae.safetensors":
            (tmp_path / "half" / file.name).symlink_to(file)
    with pytest.raises(CliError, match="not whole: half"):
        run("verify", models_dir / "tiny", "half")
    with pytest.raises(CliError, match="no model directory 'nothing'"):
        run("verify", "nothing")


def test_the_original_s_files_are_converted_with_their_hyperparameters(run, tmp_path):
    model = small_model("5b_lyrics")
    folder = tmp_path / "files"
    folder.mkdir()
    for path, file in golden_files(model).items():
        (folder / path.rpartition("/")[2]).symlink_to(file)
    with pytest.raises(CliError, match=r"--model.*--config"):
        run("convert", folder, "mine")
    case = json.loads((GOLDEN / "case.json").read_text())
    names = ("prior_5b_lyrics", "upsampler_level_1", "upsampler_level_0")
    own = {"vqvae": case["vqvae"], "priors": [case["priors"][name] for name in names]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    run("convert", folder, "mine", "--config", "own.json", "--labels", GOLDEN / "labels")
    assert run("verify", "mine").stdout.count("fine mine") == 6
    for number, wrong in enumerate(([], {"vqvae": {}}, {**own, "priors": 1}, {**own, "name": "x"})):
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        with pytest.raises(CliError, match="should hold"):
            run("convert", folder, f"wrong-{number}", "--config", "wrong.json")


@pytest.mark.parametrize("place", ["of all", "of the codec"])
def test_the_sample_rate_is_taken_from_the_hyperparameters(run, tmp_path, place):
    folder = tmp_path / "files"
    folder.mkdir()
    for path, file in golden_files(small_model("5b_lyrics")).items():
        (folder / path.rpartition("/")[2]).symlink_to(file)
    case = json.loads((GOLDEN / "case.json").read_text())
    names = ("prior_5b_lyrics", "upsampler_level_1", "upsampler_level_0")
    own = {"vqvae": case["vqvae"], "priors": [case["priors"][name] for name in names]}
    (own if place == "of all" else own["vqvae"])["sr"] = 22_050
    (tmp_path / "own.json").write_text(json.dumps(own))
    run("convert", folder, "mine", "--config", "own.json")
    config = read_config(tmp_path / "mine")
    assert config.vqvae.sample_rate_hz == config.priors[0].sample_rate_hz == 22_050


def test_our_own_models_are_written_in_another_precision(run, models_dir, tmp_path):
    run("convert", models_dir / "tiny", "half", "--dtype", "float16")
    with safe_open(tmp_path / "half" / "prior_top.safetensors", "pt") as file:
        stack = file.get_tensor("transformer.layers.0.mlp.input.weight")
    assert str(stack.dtype) == "torch.float16"
    assert "half config.json" in run("verify", "half").stdout
