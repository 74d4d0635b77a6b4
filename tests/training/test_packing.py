"""Models in half the space."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from jukebox_core.checkpoints import load_directory
from jukebox_core.checkpoints.convert import convert, open_directory
from jukebox_core.checkpoints.verify import verify
from jukebox_core.config import Weights
from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.packing import pack_model


def test_a_packed_model_takes_half_the_space_and_is_computed_in_float32_with_the_same_numbers(
    tmp_path, tiny_model_dir
):
    packed = pack_model(tiny_model_dir, tmp_path / "packed")
    assert packed.bytes_after < 0.55 * packed.bytes_before
    assert all(finding.is_fine for finding in verify(tmp_path / "packed"))
    before = load_directory(tiny_model_dir, dtype=torch.float32)
    after = load_directory(tmp_path / "packed", dtype=torch.float32)
    assert after.config == replace(before.config, name="packed")
    assert after.tokenizer is not None
    for one, other in zip(
        (before.vqvae, *before.priors), (after.vqvae, *after.priors), strict=True
    ):
        weights = other.state_dict()
        for name, weight in one.state_dict().items():
            found = weights[name]
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, weight, rtol=1e-3, atol=1e-6)


def test_a_model_with_int8_weights_is_packed_already(tmp_path, tiny_model_dir):
    source = open_directory(tiny_model_dir)
    convert(source, tmp_path / "int8", described_as="tiny", weights=Weights.INT8)
    with pytest.raises(TrainingError, match="int8 weights: it is packed already"):
        pack_model(tmp_path / "int8", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_number_too_large_for_16_bits_is_named_and_nothing_is_written(tmp_path, tiny_model_dir):
    broken = tmp_path / "broken"
    pack_model(tiny_model_dir, broken)
    tensors = load_file(broken / "prior_top.safetensors")
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    tensors["position_embedding"][0, 0] = 1e6
    save_file(tensors, broken / "prior_top.safetensors")
    with pytest.raises(TrainingError, match="position_embedding"):
        pack_model(broken, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
