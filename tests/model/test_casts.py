"""`.half()`, `.to(...)` and their kin: they work as `dtype=` does, or are refused at once."""

import pytest
import torch

from jukebox_core import JukeboxModel, Level
from jukebox_core.errors import ConfigError
from jukebox_core.models.placement import Placement


@pytest.fixture
def model(tiny_model_dir):
    return JukeboxModel.from_pretrained(tiny_model_dir)


def dtypes_of(module):
    return {name: tensor.dtype for name, tensor in module.state_dict().items()}


def sung(model):
    labels = model.tokenizer("The Sawtooths", "drone", "la")
    return model.ancestral_sample(labels, duration_sec=0.1, levels=["top"], seed=3)[0]


@pytest.mark.parametrize(
    ("cast", "dtype"),
    [
        (lambda model: model.half(), torch.float16),
        (lambda model: model.to(torch.float16), torch.float16),
        (lambda model: model.to("cpu", torch.bfloat16), torch.bfloat16),
        (lambda model: model.bfloat16(), torch.bfloat16),
        (lambda model: model.float(), torch.float32),
        (lambda model: model.half().float(), torch.float32),
        (lambda model: torch.nn.Sequential(model).half()[0], torch.float16),
    ],
)
def test_a_cast_model_is_one_that_was_loaded_so(model, tiny_model_dir, cast, dtype):
    loaded = JukeboxModel.from_pretrained(tiny_model_dir, dtype=dtype)
    cast_model = cast(model)
    assert cast_model is model
    assert dtypes_of(model) == dtypes_of(loaded)
    assert model.backend == loaded.backend
    assert sung(model).equal(sung(loaded)) or dtype is torch.float32


def test_what_stays_in_float32_is_not_rounded(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in model.half().state_dict().items():
        if tensor.dtype == torch.float32:
            assert tensor.equal(before[name]), name


def test_a_prior_alone_is_cast_like_that_of_a_model(model):
    whole = dtypes_of(JukeboxModel.half(model).priors[0])
    assert dtypes_of(model.float().priors[0].half()) == whole


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32])
def test_other_dtypes_are_refused_before_anything_is_changed(model, dtype):
    before = dtypes_of(model)
    for cast in (lambda: model.to(torch.float64), lambda: model.type(dtype), model.double):
        with pytest.raises(ConfigError, match=r"cannot compute in torch\.\w+64|torch\.int32"):
            cast()
    assert dtypes_of(model) == before


def test_the_vqvae_is_not_cast(model):
    for cast in (model.vqvae.half, model.vqvae.double):
        with pytest.raises(ConfigError, match="VQ-VAE computes in float32"):
            cast()
    assert model.vqvae.float().to("cpu") is model.vqvae


def test_a_model_whose_weights_move_by_themselves_is_not_moved(tiny_model_dir):
    model = JukeboxModel.from_pretrained(tiny_model_dir, placement=Placement.ONE_AT_A_TIME)
    for change in (model.half, lambda: model.to("cpu")):
        with pytest.raises(ConfigError, match="give device= and dtype="):
            change()


def test_a_backend_that_cannot_is_said(model):
    model.use_backend("torch")
    assert model.half().backend == "torch"
    assert model.float().backend == "torch"


def test_levels_have_names(model):
    labels = model.tokenizer("", "drone")
    how = {"duration_sec": 0.1, "seed": 5}
    wanted = model.ancestral_sample(labels, levels=[Level.TOP, Level.MIDDLE], **how)
    found = model.ancestral_sample(labels, levels=["top", "middle"], **how)
    assert all(a.equal(b) for a, b in zip(wanted, found, strict=True))
    (top,) = model.ancestral_sample(labels, levels="top", **how)
    assert top.equal(wanted[0])
    assert model.prior("top") is model.prior(Level.TOP)
