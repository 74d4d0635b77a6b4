"""Which backend computes a model: the rules, without weights."""

import dataclasses

import pytest

from jukebox_core.backends import choose
from jukebox_core.backends.choose import AUTO, Target, backend_of_steps, choose_backend
from jukebox_core.errors import ConfigError
from jukebox_core.models.released import released_config
from tests.engine.windows import golden_config

CPU = Target(device_type="cpu", is_float32=True)
NATIVE = "jukebox_core.backends.native.backend.reason_against_compiling"
TRITON = "jukebox_core.backends.triton.backend.reason_against_kernels"


@pytest.fixture
def compiles(monkeypatch):
    monkeypatch.setattr(NATIVE, lambda: None)


def chosen(wanted=AUTO, *, config=None, **target):
    where = Target(**({"device_type": "cpu", "is_float32": True} | target))
    return choose_backend(config or golden_config("prior_5b_lyrics"), where, wanted)


@pytest.mark.parametrize("name", [None, "1b_lyrics", "5b_lyrics"])
def test_a_model_in_float32_on_a_cpu_takes_the_native_backend(name, compiles):
    config = released_config(name) if name else None
    assert chosen(config=config) == chosen("native", config=config) == "native"


@pytest.mark.parametrize(
    "lacking", [{"device_type": "cuda"}, {"is_float32": False}, {"weights_stay": False}]
)
def test_auto_takes_the_reference_where_there_is_no_other(lacking, compiles):
    assert chosen(**lacking) == "torch"
    with pytest.raises(ConfigError, match="float32 on a CPU"):
        chosen("native", **lacking)


def test_who_insists_hears_why_it_cannot_be(monkeypatch):
    monkeypatch.setattr(NATIVE, lambda: "it needs a C compiler")
    assert chosen() == "torch"
    with pytest.raises(ConfigError, match="needs a C compiler"):
        chosen("native")


def scaled(config):
    """As `res_scale` of the original has it."""
    top, *others = config.priors
    stack = dataclasses.replace(top.transformer, scale_residuals=True)
    priors = (dataclasses.replace(top, transformer=stack), *others)
    return dataclasses.replace(config, priors=priors)


def test_a_model_that_scales_residual_branches_is_left_to_torch(compiles, monkeypatch):
    monkeypatch.setattr(TRITON, lambda: None)
    config = scaled(golden_config("prior_5b_lyrics"))
    assert chosen(config=config) == "torch"
    with pytest.raises(ConfigError, match="the native backend does not scale residual branches"):
        chosen("native", config=config)
    with pytest.raises(ConfigError, match="the triton backend does not scale residual branches"):
        chosen("triton", config=config, device_type="cuda")


def test_triton_is_taken_where_it_is_asked_for_and_never_by_itself(monkeypatch):
    monkeypatch.setattr(TRITON, lambda: None)
    on_a_gpu = {"device_type": "cuda", "is_float32": False}
    assert chosen(**on_a_gpu) == "torch"
    assert chosen("triton", **on_a_gpu) == "triton"
    with pytest.raises(ConfigError, match="weights that stay on a CUDA device"):
        chosen("triton", **on_a_gpu, weights_stay=False)


def test_the_reference_can_be_asked_for_anywhere(compiles):
    assert chosen("torch") == chosen("torch", device_type="mps", is_float32=False) == "torch"


def test_an_unknown_backend_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="'fast' is not known: auto, native, torch, triton"):
        chosen("fast")


@pytest.mark.parametrize(
    ("native", "fused", "backend"),
    [
        (None, None, None),
        ("auto", None, "auto"),
        ("on", "off", "native"),
        ("off", None, "torch"),
        (None, "off", "auto"),
        ("off", "on", "triton"),
        ("perhaps", None, "perhaps"),
    ],
)
def test_the_settings_of_earlier_releases_name_a_backend(native, fused, backend):
    assert backend_of_steps(native, fused) == backend


def test_old_names_in_records_are_those_of_backends():
    assert set(choose.RENAMED.values()) <= set(choose.BACKENDS)
    assert not set(choose.RENAMED) & set(choose.BACKENDS)
