"""Int8 weights on disk: the numbers of those that are made in memory, mapped, and no more bytes."""

import copy
import json
import mmap
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from jukebox_core import JukeboxModel, Level
from jukebox_core.checkpoints import load_prior_of, native
from jukebox_core.checkpoints.convert import convert, open_directory
from jukebox_core.checkpoints.tensor_writing import ALIGNMENT
from jukebox_core.checkpoints.verify import verify
from jukebox_core.config import Weights
from jukebox_core.errors import ConfigError
from jukebox_core.models.catalog import ModelCatalog, read_config
from jukebox_core.prior.mapped_pages import give_back
from tests.checkpoints.test_native import MAPS, assert_same

SMAPS = Path("/proc/self/smaps")


@pytest.fixture(scope="module")
def int8_dir(tiny_model_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("int8") / "tiny"
    source = open_directory(tiny_model_dir)
    convert(source, directory, described_as="tiny", weights=Weights.INT8)
    return directory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_priors_quantized_on_reading_are_those_that_are_quantized_when_loaded(
    tiny_model_dir, dtype
):
    for level in Level:
        read = load_prior_of(tiny_model_dir, level, dtype=dtype, weights=Weights.INT8)
        assert_same(read, load_prior_of(tiny_model_dir, level, dtype=dtype).use_int8_weights())


def test_a_song_is_the_same_from_int8_files_and_from_weights_made_int8_in_memory(
    tiny_model_dir, int8_dir
):
    found = []
    for directory, weights in ((tiny_model_dir, "int8"), (int8_dir, "full"), (int8_dir, "int8")):
        model = JukeboxModel.from_pretrained(directory, weights=weights)
        labels = model.tokenizer("The Sawtooths", "drone", "Hello, hello")
        found.append(model.ancestral_sample(labels, duration_sec=1.3, seed=7))
    first, *others = found
    for codes in others:
        assert all(one.equal(other) for one, other in zip(first, codes, strict=True))


def test_int8_files_without_an_int8_conditioner_give_the_songs_that_they_gave(
    tiny_model_dir, tmp_path
):
    older = tmp_path / "tiny"
    shutil.copytree(tiny_model_dir, older)
    values = json.loads((older / "config.json").read_text())
    (older / "config.json").write_text(
        json.dumps(values | {"format_version": 2, "weights": "int8"})
    )
    wanted = [load_prior_of(tiny_model_dir, level).use_int8_stacks() for level in Level]
    for prior in wanted:
        native.write_tensors(older / native.prior_file(prior.config.level), prior.state_dict())
    assert all(finding.is_fine for finding in verify(older))
    for prior in wanted:
        for weights in Weights:
            assert_same(load_prior_of(older, prior.config.level, weights=weights), prior)
    # Written again, their conditioners stay as they are.
    convert(open_directory(older), tmp_path / "again", described_as="")
    for prior in wanted:
        assert_same(load_prior_of(tmp_path / "again", prior.config.level), prior)


def test_half_weights_give_the_same_int8_files_as_their_float32_values(tiny_model_dir, tmp_path):
    convert(open_directory(tiny_model_dir), tmp_path / "half", described_as="", dtype=torch.float16)
    convert(
        open_directory(tmp_path / "half"), tmp_path / "wide", described_as="", dtype=torch.float32
    )
    for name in ("half", "wide"):
        source = open_directory(tmp_path / name)
        convert(source, tmp_path / f"{name} int8", described_as="", weights=Weights.INT8)
    for file in (tmp_path / "half int8").glob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "wide int8" / file.name).read_bytes()


def test_what_float16_can_say_is_kept_in_half_the_bytes_and_loaded_as_it_was(
    tiny_model_dir, tmp_path
):
    halved = tmp_path / "halved"
    shutil.copytree(tiny_model_dir, halved)
    for file in halved.glob("prior_*.safetensors"):
        tensors = {name: tensor.half().float() for name, tensor in load_file(file).items()}
        odd = tensors["token_embedding.weight"]
        odd[0, :4] = torch.tensor([1.0 + 2**-11, 7e4, -0.0, 2.0**-24])
        save_file(tensors, file)
    convert(open_directory(halved), tmp_path / "int8", described_as="", weights=Weights.INT8)
    for level in Level:
        file = tmp_path / "int8" / native.prior_file(level)
        stored = load_file(file)
        assert stored["token_embedding.weight"].dtype == torch.float32
        kept = {name for name, tensor in stored.items() if tensor.dtype == torch.float32}
        assert {name.rpartition(".")[2] for name in kept - {"token_embedding.weight"}} == {"scale"}
        assert_same(
            load_prior_of(tmp_path / "int8", level),
            load_prior_of(halved, level, weights=Weights.INT8),
        )
    # Written again, they are the same files: what was narrowed is not widened.
    convert(open_directory(tmp_path / "int8"), tmp_path / "again", described_as="")
    for file in (tmp_path / "int8").glob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_int8_weights_are_mapped_and_aligned(int8_dir):
    prior = load_prior_of(int8_dir, Level.TOP)
    spans = [line.split()[0] for line in MAPS.read_text().splitlines() if str(int8_dir) in line]
    mapped = [tuple(int(end, 16) for end in span.split("-")) for span in spans]
    for layer in prior.transformer.stack():
        weight = layer.mlp.input.weight
        assert any(start <= weight.data_ptr() < end for start, end in mapped)
        assert (weight.data_ptr() - mapped[0][0]) % ALIGNMENT == 0
    assert mmap.PAGESIZE % ALIGNMENT == 0


def test_the_configuration_and_the_catalog_name_int8_weights(tiny_model_dir, int8_dir):
    values = json.loads((int8_dir / "config.json").read_text())
    assert (values["format_version"], values["weights"]) == (3, "int8")
    assert read_config(int8_dir) == read_config(tiny_model_dir)
    card = ModelCatalog(int8_dir.parent).get("tiny")
    assert card.weights is Weights.INT8
    whole = sum(file.stat().st_size for file in tiny_model_dir.glob("*.safetensors"))
    assert card.num_bytes < whole
    assert all(finding.is_fine for finding in verify(int8_dir))


def test_weights_of_another_release_are_refused(int8_dir, tmp_path):
    values = json.loads((int8_dir / "config.json").read_text()) | {"weights": "int4"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="'int4', not one of full, int8"):
        read_config(tmp_path)


def test_files_of_another_kind_than_the_configuration_says_are_found(int8_dir, tmp_path):
    native.write_config(tmp_path, replace(read_config(int8_dir), name="x"))
    for file in int8_dir.glob("*.safetensors"):
        (tmp_path / file.name).symlink_to(file)
    broken = [finding.detail for finding in verify(tmp_path) if not finding.is_fine]
    assert len(broken) == 3
    assert all("has int8 weights, and config.json says full" in detail for detail in broken)


def resident_bytes(directory):
    """Of the mapped files of a directory, what counts as memory of this process."""
    found, is_ours = 0, False
    for line in SMAPS.read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_ours = str(directory) in line
        elif is_ours and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found


def test_mapped_weights_go_back_to_their_file_and_are_the_same_when_read_again(int8_dir):
    prior = load_prior_of(int8_dir, Level.TOP)
    before = {name: weight.clone() for name, weight in prior.state_dict().items()}
    resident = resident_bytes(int8_dir)
    given_back = give_back(prior)
    assert 0 < given_back <= resident
    assert resident_bytes(int8_dir) <= resident - given_back
    assert all(torch.equal(weight, before[name]) for name, weight in prior.state_dict().items())


def test_weights_in_memory_of_their_own_are_not_given_back(tiny_model_dir):
    """That would make them zeros."""
    prior = copy.deepcopy(load_prior_of(tiny_model_dir, Level.TOP))
    before = {name: weight.clone() for name, weight in prior.state_dict().items()}
    assert give_back(prior) == 0
    assert all(torch.equal(weight, before[name]) for name, weight in prior.state_dict().items())
