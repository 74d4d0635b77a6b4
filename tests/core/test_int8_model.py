"""A whole model with int8 weights sings, takes less memory, and is kept on disk as it is."""

import pytest
import torch

from jukebox_core import JukeboxModel, Level
from jukebox_core.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def int8_model(tiny_model_dir):
    return JukeboxModel.from_pretrained(tiny_model_dir, weights="int8")


def _projection_bytes(model):
    return sum(
        weight.nbytes
        for level in Level
        for name, weight in model.prior(level).named_parameters()
        if name.endswith((".qkv.weight", ".query.weight", ".input.weight", ".output.weight"))
        and ".layers." in name
    )


def test_weights_of_a_model_take_a_quarter(tiny_model_dir, int8_model):
    whole = JukeboxModel.from_pretrained(tiny_model_dir)
    assert 4 * _projection_bytes(int8_model) == _projection_bytes(whole)
    assert all(int8_model.prior(level).has_int8_weights for level in Level)
    assert not any(whole.prior(level).has_int8_weights for level in Level)


@pytest.mark.parametrize(
    "options",
    [{"weights": "int8"}, {"dtype": torch.bfloat16}, {"weights": "int8", "dtype": torch.bfloat16}],
)
def test_a_model_of_reduced_precision_sings_on_a_cpu(tiny_model_dir, options):
    model = JukeboxModel.from_pretrained(tiny_model_dir, **options)
    labels = model.tokenizer("The Sawtooths", "drone", "Hello, hello")
    codes = model.ancestral_sample(labels, duration_sec=1.3, seed=7)
    again = model.ancestral_sample(labels, duration_sec=1.3, seed=7)
    assert all(one.equal(other) for one, other in zip(codes, again, strict=True))
    audio = model.decode(codes)
    assert audio.dtype == torch.float32
    assert audio.isfinite().all()


@pytest.mark.parametrize("weights", ["full", "int8"])
def test_saved_int8_weights_are_loaded_to_the_last_bit(int8_model, tmp_path, weights):
    int8_model.save_pretrained(tmp_path / "model")
    loaded = JukeboxModel.from_pretrained(tmp_path / "model", weights=weights)
    before, after = int8_model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert {t.dtype for name, t in after.items() if name.startswith("priors.")} == {
        torch.int8,
        torch.float32,
    }


def test_a_model_is_of_one_kind_of_weights(tiny_model_dir, tmp_path):
    model = JukeboxModel.from_pretrained(tiny_model_dir)
    model.prior(Level.TOP).use_int8_weights()
    with pytest.raises(CheckpointError, match="all or none may have them"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_that_nobody_knows_are_refused(tiny_model_dir):
    with pytest.raises(ConfigError, match="'int4' are not known: full, int8"):
        JukeboxModel.from_pretrained(tiny_model_dir, weights="int4")
