"""Our own directories: written whole or not at all, read back exactly."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from jukebox_core import JukeboxModel, JukeboxTokenizer
from jukebox_core.checkpoints import (
    load_directory,
    load_prior_of,
    load_vqvae_of,
    native,
    save_directory,
)
from jukebox_core.errors import CheckpointError, ConfigError, LabelError
from jukebox_core.units import COARSE_TO_FINE, Level

MAPS = Path("/proc/self/maps")


@pytest.fixture
def tiny(tiny_model_dir):
    return load_directory(tiny_model_dir)


def save(parts, directory):
    save_directory(directory, parts.config, parts.vqvae, parts.priors, parts.tokenizer)


def assert_same(one, other):
    found = other.state_dict()
    assert one.state_dict().keys() == found.keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, found[name]), name
        assert tensor.dtype == found[name].dtype, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_saved_is_loaded_to_the_last_bit(tiny_model_dir, tmp_path, dtype):
    before = load_directory(tiny_model_dir, dtype=dtype)
    save(before, tmp_path / "copy")
    after = load_directory(tmp_path / "copy")
    assert after.config == before.config
    assert_same(after.vqvae, before.vqvae)
    for ours, theirs in zip(after.priors, before.priors, strict=True):
        assert_same(ours, theirs)
        assert ours.compute_dtype is dtype
    assert after.tokenizer.resolve("Mx Zero", "drone") == before.tokenizer.resolve(
        "Mx Zero", "drone"
    )


def test_the_directory_holds_what_the_documentation_says(tiny, tmp_path):
    save(tiny, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "config.json",
        "labels",
        "prior_bottom.safetensors",
        "prior_middle.safetensors",
        "prior_top.safetensors",
        "vqvae.safetensors",
    ]
    values = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert (values["format"], values["format_version"]) == ("jukebox", 1)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "copy").glob("*.*")}
    assert len(modes) == 1  # safetensors alone would let nobody else read the weights


def test_parts_are_loaded_alone_like_together(tiny, tiny_model_dir):
    for level, prior in zip(COARSE_TO_FINE, tiny.priors, strict=True):
        assert_same(load_prior_of(tiny_model_dir, level), prior)
    assert_same(load_vqvae_of(tiny_model_dir), tiny.vqvae)


def test_a_bundled_model_is_loaded_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    whole = load_directory("mini")
    assert_same(load_prior_of("mini", Level.TOP), whole.priors[0])
    assert_same(load_vqvae_of("mini"), whole.vqvae)
    with pytest.raises(CheckpointError, match=r"^nobody is no model directory"):
        load_prior_of("nobody", Level.TOP)


def test_loading_draws_no_random_numbers_and_leaves_nothing_on_the_meta_device(tiny_model_dir):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    parts = load_directory(tiny_model_dir)
    assert torch.equal(torch.get_rng_state(), before)
    for module in (parts.vqvae, *parts.priors):
        assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.skipif(not MAPS.exists(), reason="asks Linux what is mapped")
def test_weights_on_the_cpu_stay_mapped_from_the_file(tiny_model_dir):
    weight = load_prior_of(tiny_model_dir, Level.TOP).token_embedding.weight
    assert mapped_file(weight.data_ptr()) == str(tiny_model_dir / "prior_top.safetensors")


def mapped_file(address):
    for line in MAPS.read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            return line.split(maxsplit=5)[5]
    return None


def test_saving_again_replaces_the_directory(tiny, tmp_path):
    save(tiny, tmp_path / "copy")
    (tmp_path / "copy" / "stale").touch()
    with torch.no_grad():
        tiny.priors[0].token_embedding.weight.fill_(3.0)
    save(tiny, tmp_path / "copy")
    assert not (tmp_path / "copy" / "stale").exists()
    assert load_prior_of(tmp_path / "copy", Level.TOP).token_embedding.weight.eq(3.0).all()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_save_that_fails_leaves_nothing_and_keeps_the_old(tiny, tmp_path, monkeypatch):
    save(tiny, tmp_path / "copy")

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native, "write_safetensors", full_disk)
    for name in ("copy", "new"):
        with pytest.raises(OSError, match="No space left"):
            save(tiny, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    load_directory(tmp_path / "copy")


@pytest.fixture
def copy(tiny, tmp_path):
    save(tiny, tmp_path / "copy")
    return tmp_path / "copy"


def test_tensors_that_do_not_fit_are_all_named(copy):
    file = copy / "prior_middle.safetensors"
    tensors = load_file(file)
    del tensors["labels.genre.weight"]
    tensors["position_embedding"] = tensors["position_embedding"][:-1].clone()
    save_file({**tensors, "stray": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError) as raised:
        load_directory(copy)
    assert str(raised.value) == (
        f"{file} does not fit the model: unknown: stray; missing: labels.genre.weight; "
        "misshapen: position_embedding is (255, 64), wanted (256, 64)"
    )


def test_a_missing_part_is_named(copy):
    (copy / "vqvae.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weights file .*vqvae\.safetensors"):
        load_directory(copy)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"format_version": 4}, ConfigError, "format_version 4, and this library reads 1, 2, 3"),
        ({"format": "bert"}, CheckpointError, "neither ours"),
        ({"config": {"name": "x"}}, ConfigError, "not a Jukebox configuration"),
    ],
)
def test_a_configuration_of_something_else_is_refused(copy, change, error, message):
    file = copy / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(error, match=message):
        load_directory(copy)


def test_a_missing_label_list_is_named(copy):
    (copy / "labels" / "v3_genre_ids.txt").unlink()
    with pytest.raises(LabelError, match=r"v3_genre_ids\.txt"):
        load_directory(copy)


def test_a_model_without_labels_has_no_tokenizer(tiny, tmp_path):
    save_directory(tmp_path / "bare", tiny.config, tiny.vqvae, tiny.priors)
    parts = load_directory(tmp_path / "bare")
    assert (parts.tokenizer, parts.labels_dir) == (None, None)


def test_what_is_no_model_directory_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"it has no config\.json"):
        load_directory(tmp_path)


def test_loading_fills_nothing_that_it_will_replace(tiny_model_dir):
    program = (
        "import sys\n"
        "from jukebox_core.model import JukeboxModel\n"
        f"JukeboxModel.from_pretrained({str(tiny_model_dir)!r})\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("openai/jukebox-5b-lyrics", "jukebox models pull 5b_lyrics --accept-license"),
        ("openai/jukebox-5b-lyrics", "hf download openai/jukebox-5b-lyrics"),
        ("1b_lyrics", "hf download openai/jukebox-1b-lyrics --local-dir 1b_lyrics"),
        ("5b", "jukebox models pull 5b --accept-license"),
        ("somebody/their-model", "hf download somebody/their-model"),
        ("nobody", "'mini' for the model that comes with this package"),
        ("models", "it holds the models tiny"),
    ],
)
def test_a_name_that_is_no_folder_is_told_with_what_to_do(
    monkeypatch, tmp_path, tiny_model_dir, name, told
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny").symlink_to(tiny_model_dir)
    for load in (load_directory, JukeboxModel.from_pretrained):
        with pytest.raises(
            CheckpointError, match=re.escape(f"{name} is no model directory")
        ) as caught:
            load(name)
        assert told in str(caught.value)
    with pytest.raises(ConfigError, match="jukebox models pull"):
        JukeboxTokenizer.from_pretrained(name)
