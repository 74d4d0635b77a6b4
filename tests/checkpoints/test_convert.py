"""Every format into ours, and back to a sure answer whether it is whole."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from jukebox_core.checkpoints import load_directory, load_openai_prior, load_prior_of
from jukebox_core.checkpoints.convert import convert, open_directory, open_openai_folder
from jukebox_core.checkpoints.verify import verify
from jukebox_core.config import Weights
from jukebox_core.errors import CheckpointError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.projection import Projection
from jukebox_core.units import Level
from tests.fixtures.released_models import GOLDEN, golden_files, small_model


@pytest.fixture
def original(tmp_path):
    model, folder = small_model("5b_lyrics"), tmp_path / "original"
    for path, file in golden_files(model).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(file)
    return model, folder


def tensors_of(directory):
    parts = load_directory(directory)
    return {
        f"{number}.{name}": tensor
        for number, module in enumerate((parts.vqvae, *parts.priors))
        for name, tensor in module.state_dict().items()
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_the_original_s_tree_becomes_a_model(original, tmp_path):
    model, folder = original
    written = []
    source = open_openai_folder(folder, model, GOLDEN / "labels")
    convert(source, tmp_path / "new", described_as="here", on_part=written.append)
    assert written == [
        "vqvae.safetensors",
        "prior_top.safetensors",
        "prior_middle.safetensors",
        "prior_bottom.safetensors",
    ]
    assert load_directory(tmp_path / "new").tokenizer is not None
    findings = list(verify(tmp_path / "new"))
    assert [finding.part for finding in findings] == ["config.json", "labels", *written]
    assert all(finding.is_fine for finding in findings), findings
    assert sum("hash is right" in finding.detail for finding in findings) == 4


@pytest.mark.parametrize("stored_as", ["half weights", "float32"])
def test_half_weights_leave_biases_and_everything_else_whole(original, tmp_path, stored_as):
    model, folder = original
    top, *others = model.config.priors
    config = replace(model.config, priors=(replace(top, half_weights=True), *others))
    file = folder / model.prior_paths[Level.TOP]
    stored = torch.load(file, weights_only=True)["model"]
    rounded = {name: t.half() if name.endswith(".w") else t for name, t in stored.items()}
    if stored_as == "half weights":
        file.unlink()
        torch.save({"model": rounded}, file)
    convert(
        open_openai_folder(folder, replace(model, config=config)),
        tmp_path / "new",
        described_as="half",
    )
    written = load_file(tmp_path / "new" / "prior_top.safetensors")
    halves = {name for name, tensor in written.items() if tensor.dtype is torch.float16}
    assert halves == {
        f"{name}.weight"
        for name, module in JukeboxPrior(top).named_modules()
        if isinstance(module, Projection) and name != "lyric_encoder.projection"
    }
    loaded = load_prior_of(tmp_path / "new", Level.TOP, dtype=torch.float32)
    torch.save({"model": {name: t.float() for name, t in rounded.items()}}, tmp_path / "wanted")
    wanted = load_openai_prior(tmp_path / "wanted", top, dtype=torch.float32)
    assert_same(loaded.state_dict(), wanted.state_dict())
    # The library rounds alike when it reads the original's files itself.
    read = load_openai_prior(file, config.priors[0], dtype=torch.float32)
    assert_same(read.state_dict(), wanted.state_dict())


def test_files_that_lie_flat_in_one_folder_are_found_too(original, tmp_path):
    model, folder = original
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in golden_files(model):
        (flat / path.rpartition("/")[2]).symlink_to((folder / path).resolve())
    convert(open_openai_folder(folder, model), tmp_path / "one", described_as="tree")
    convert(open_openai_folder(flat, model), tmp_path / "two", described_as="flat")
    assert_same(tensors_of(tmp_path / "one"), tensors_of(tmp_path / "two"))
    assert load_directory(tmp_path / "one").tokenizer is None


def test_a_missing_file_is_named_before_anything_is_written(original, tmp_path):
    model, folder = original
    (folder / "5b" / "prior_level_0.pth.tar").unlink()
    with pytest.raises(CheckpointError, match=r"neither 5b/prior_level_0.pth.tar nor"):
        open_openai_folder(folder, model)


def test_our_own_format_is_written_again_in_another_type(tiny_model_dir, tmp_path):
    source = open_directory(tiny_model_dir)
    convert(source, tmp_path / "half", described_as="tiny", dtype=torch.float16)
    whole, half = tensors_of(tiny_model_dir), tensors_of(tmp_path / "half")
    assert {tensor.dtype for tensor in half.values()} == {torch.float16, torch.float32}
    for name, tensor in whole.items():
        assert torch.equal(tensor.to(half[name].dtype), half[name])
    convert(open_directory(tmp_path / "half"), tmp_path / "kept", described_as="half")
    assert_same(half, tensors_of(tmp_path / "kept"))


def test_a_failed_conversion_leaves_nothing_and_spoils_nothing(original, tmp_path):
    model, folder = original
    before = tmp_path / "model"
    convert(open_openai_folder(folder, model), before, described_as="first")
    broken = folder / "5b" / "prior_level_0.pth.tar"
    broken.unlink()
    broken.write_bytes((GOLDEN / "upsampler_level_0.pth.tar").read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="prior_level_0"):
        convert(open_openai_folder(folder, model), before, described_as="second")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "original"]
    assert all(finding.is_fine for finding in verify(before))


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model directory: it has no config.json"):
        open_directory(tmp_path)


@pytest.fixture
def model_dir(original, tmp_path):
    model, folder = original
    source = open_openai_folder(folder, model, GOLDEN / "labels")
    convert(source, tmp_path / "new", described_as="here")
    return tmp_path / "new"


def faults(directory):
    return {finding.part: finding.detail for finding in verify(directory) if not finding.is_fine}


def test_one_flipped_bit_is_found(model_dir):
    file = model_dir / "prior_top.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert list(faults(model_dir)) == ["prior_top.safetensors"]
    assert "is not what was written" in faults(model_dir)["prior_top.safetensors"]


def test_a_truncated_file_is_found(model_dir):
    file = model_dir / "vqvae.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert "not a whole safetensors file" in faults(model_dir)["vqvae.safetensors"]


def test_a_tensor_that_does_not_fit_is_named(model_dir):
    file = model_dir / "prior_middle.safetensors"
    tensors = load_file(file)
    tensors["position_embedding"] = tensors["position_embedding"][:-1].clone()
    save_file(tensors, file)
    assert "misshapen: position_embedding" in faults(model_dir)["prior_middle.safetensors"]


def test_missing_files_and_broken_lists_are_all_told_at_once(model_dir):
    (model_dir / "prior_bottom.safetensors").unlink()
    (model_dir / "labels" / "v2_genre_ids.txt").write_text("rock")
    assert set(faults(model_dir)) == {"labels", "prior_bottom.safetensors"}


def test_a_broken_configuration_is_one_finding(model_dir):
    (model_dir / "config.json").write_text("{")
    assert list(faults(model_dir)) == ["config.json"]


def test_models_without_recorded_hashes_are_still_compared_with_their_configuration(tiny_model_dir):
    findings = list(verify(tiny_model_dir))
    assert all(finding.is_fine for finding in findings)
    assert not any("hash" in finding.detail for finding in findings)


def test_a_model_is_not_replaced_by_what_is_made_of_broken_files(model_dir):
    file = model_dir / "prior_top.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    before = {path: path.read_bytes() for path in model_dir.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"prior_top\.safetensors is not what was written"):
        convert(open_directory(model_dir), model_dir, described_as="itself", weights=Weights.INT8)
    assert {path: path.read_bytes() for path in model_dir.rglob("*") if path.is_file()} == before
    file.unlink()
    with pytest.raises(CheckpointError, match="fetch or copy the model again"):
        convert(open_directory(model_dir), model_dir, described_as="itself", weights=Weights.INT8)


def test_a_model_is_converted_onto_itself(model_dir):
    convert(open_directory(model_dir), model_dir, described_as="itself", weights=Weights.INT8)
    assert all(finding.is_fine for finding in verify(model_dir))
    assert [path.name for path in model_dir.parent.iterdir() if path.name[0] == "."] == []
