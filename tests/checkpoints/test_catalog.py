"""A folder of models, read without torch."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from jukebox_core.errors import ConfigError, ModelNotFound
from jukebox_core.models.catalog import ModelCatalog, read_config


@pytest.fixture
def folder(tiny_model_dir, tmp_path):
    """A folder with a model that may be changed."""
    shutil.copytree(tiny_model_dir, tmp_path / "mine")
    return tmp_path


def test_a_card_tells_what_is_known_before_loading(models_dir):
    card = ModelCatalog(models_dir).get("tiny")
    assert (card.name, card.directory) == ("tiny", models_dir / "tiny")
    assert card.config == read_config(models_dir / "tiny")
    assert card.num_bytes == sum(
        file.stat().st_size for file in (models_dir / "tiny").glob("*.safetensors")
    )
    assert "noise" in card.description
    assert card.licence == "Apache-2.0"
    assert card.tokenizer.resolve("The Sawtooths", "drone")["top"]["artist"]["known"]


def test_models_are_named_after_their_directories(folder):
    (folder / "not-a-model").mkdir()
    (folder / "letter.txt").touch()
    shutil.copytree(folder / "mine", folder / ".being-written")
    assert ModelCatalog(folder).names() == ("mine",)


def test_an_unknown_model_is_answered_with_the_known_ones(models_dir):
    with pytest.raises(ModelNotFound, match="no model is called 'jukebox-9b': there are tiny"):
        ModelCatalog(models_dir).get("jukebox-9b")


def test_a_folder_that_is_not_there_holds_no_models(tmp_path):
    catalog = ModelCatalog(tmp_path / "nowhere")
    assert catalog.names() == ()
    with pytest.raises(ModelNotFound, match="there is none at all"):
        catalog.get("tiny")


@pytest.mark.parametrize("name", ["../mine", "mine/../mine", ".", "", "/etc", "mine/labels"])
def test_a_path_is_no_name(folder, name):
    (folder / "models").mkdir()
    with pytest.raises(ModelNotFound):
        ModelCatalog(folder / "models").get(name)
    with pytest.raises(ModelNotFound):
        ModelCatalog(folder).get(name)


def test_a_model_is_read_again_only_when_it_changes(folder):
    catalog = ModelCatalog(folder)
    first = catalog.get("mine")
    assert catalog.get("mine") is first
    file = folder / "mine" / "config.json"
    values = json.loads(file.read_text())
    values["config"]["description"] = "sings better now"
    file.write_text(json.dumps(values))
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))
    assert catalog.get("mine").description == "sings better now"


def test_a_model_that_appears_later_is_found(models_dir, tmp_path):
    catalog = ModelCatalog(tmp_path)
    assert catalog.names() == ()
    shutil.copytree(models_dir / "tiny", tmp_path / "late")
    assert catalog.get("late").name == "late"


def test_a_model_without_label_lists_has_no_tokenizer(folder):
    shutil.rmtree(folder / "mine" / "labels")
    assert ModelCatalog(folder).get("mine").tokenizer is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a list, not an object"),
        ("{}", 'lacks "format": "jukebox"'),
        ('{"format": "jukebox", "format_version": 7}', "format_version 7"),
        ('{"format": "jukebox", "format_version": 1}', 'no object under "config"'),
    ],
)
def test_a_broken_configuration_is_told_apart(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path)


def test_no_torch_is_loaded_for_it(models_dir):
    script = (
        "import sys, pathlib; from jukebox_core.models.catalog import ModelCatalog; "
        "ModelCatalog(pathlib.Path(sys.argv[1])).get('tiny'); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(models_dir)], check=False)
    assert done.returncode == 0


def test_a_folder_that_cannot_be_listed_is_a_fault_and_an_absent_one_is_none(tmp_path):
    assert ModelCatalog(tmp_path).fault() is None
    assert ModelCatalog(tmp_path / "nowhere").fault() is None
    (tmp_path / "file").touch()
    catalog = ModelCatalog(tmp_path / "file")
    assert re.fullmatch(
        rf"the models folder {tmp_path}/file cannot be read by user \d+: Not a directory",
        catalog.fault(),
    )
    with pytest.raises(ModelNotFound, match=r"and the models folder cannot be read$"):
        catalog.get("tiny")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_somebody_else_is_a_fault(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir(mode=0o700)
    script = (
        "import os, sys, pathlib; from jukebox_core.models.catalog import ModelCatalog; "
        "os.setuid(10001); print(ModelCatalog(pathlib.Path(sys.argv[1])).fault())"
    )
    command = [sys.executable, "-c", script, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be read by user 10001: Permission denied" in done.stdout
