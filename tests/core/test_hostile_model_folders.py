"""What somebody may have put into the models folder is one model's trouble, and never hangs."""

import json
import os
import random
import shutil

import pytest

from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.errors import CheckpointError, ConfigError, JukeboxError
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.small_files import MAX_SMALL_BYTES, read_small_text

DEEP = "[" * 100_000


def put(path, content: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(content)


def put_fifo(path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def put_link(path, target) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


HOSTILE = {
    "deep configuration": lambda at: put(at / "config.json", '{"config":' + DEEP),
    "deep object": lambda at: put(at / "config.json", '{"a":' * 100_000),
    "configuration in a FIFO": lambda at: put_fifo(at / "config.json"),
    "configuration from a device": lambda at: put_link(at / "config.json", "/dev/zero"),
    "configuration in a loop of links": lambda at: put_link(at / "config.json", "config.json"),
    "configuration of its own folder": lambda at: put_link(at / "config.json", "."),
    "huge configuration": lambda at: put(at / "config.json", " " * (MAX_SMALL_BYTES + 1)),
    "no JSON": lambda at: put(at / "config.json", "\ud800".encode("utf-8", "surrogatepass").hex()),
    "labels in a FIFO": lambda at: put_fifo(at / "labels" / "v2_artist_ids.txt"),
    "labels from a device": lambda at: put_link(at / "labels" / "v2_genre_ids.txt", "/dev/zero"),
    "huge labels": lambda at: put(at / "labels" / "v2_genre_ids.txt", "a;1\n" * 5_000_000),
    "labels that are a folder": lambda at: put_link(at / "labels" / "v2_genre_ids.txt", "/"),
    "weights in a loop of links": lambda at: put_link(
        at / "vqvae.safetensors", "vqvae.safetensors"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_an_error_of_that_model_alone(tiny_model_dir, tmp_path, name):
    for each in ("good", "hostile"):
        shutil.copytree(tiny_model_dir, tmp_path / each)
    HOSTILE[name](tmp_path / "hostile")
    catalog = ModelCatalog(tmp_path)
    assert catalog.get("good").name == "good"
    assert "good" in catalog.names()
    if "hostile" in catalog.names():
        with pytest.raises(JukeboxError):
            catalog.get("hostile")


def test_whatever_a_configuration_holds_nothing_but_an_error_of_the_library_comes_of_it(
    tiny_model_dir, tmp_path
):
    shutil.copytree(tiny_model_dir, tmp_path / "bent")
    file = tmp_path / "bent" / "config.json"
    whole = json.loads(file.read_text())
    rng = random.Random(7)
    values = [None, True, -1, 0, 10**30, 1e308, "", "x", [], {}, [[]], {"a": 1}, [None] * 3]
    for _ in range(600):
        bent = json.loads(json.dumps(whole))
        node = bent
        while isinstance(node, (dict, list)) and node:
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if rng.random() < 0.4 or not isinstance(node[key], (dict, list)):
                node[key] = rng.choice(values)
                break
            node = node[key]
        file.write_text(json.dumps(bent))
        os.utime(file, ns=(rng.randrange(10**18),) * 2)
        try:
            ModelCatalog(tmp_path).get("bent")
        except JukeboxError:
            continue


def test_weights_in_a_fifo_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "vqvae.safetensors")
    os.mkfifo(tmp_path / "vqvae.pth.tar")
    for name in ("vqvae.safetensors", "vqvae.pth.tar"):
        with pytest.raises(CheckpointError, match="no weights file"):
            open_tensors(tmp_path / name)


def test_a_file_of_just_the_bound_is_read_and_one_byte_more_is_not(tmp_path):
    (tmp_path / "a").write_text("x" * 10)
    assert read_small_text(tmp_path / "a", max_bytes=10) == "x" * 10
    with pytest.raises(OSError, match="more than 9 bytes"):
        read_small_text(tmp_path / "a", max_bytes=9)


def test_a_config_that_nobody_may_read_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").mkdir()
    with pytest.raises(ConfigError, match=r"config\.json"):
        ModelCatalog(tmp_path).get("a")
