"""One module and one line of `choose.py` add a backend, and the proof holds for it as for all."""

import re
from pathlib import Path

import pytest
import torch

import jukebox_core
from jukebox_core.backends import choose
from jukebox_core.backends.choose import Target, choose_backend
from jukebox_core.engine import Engine
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.backends.tape import TapeCapturer
from tests.backends.toy import SeveralAtOnce, ToyBackend
from tests.engine.windows import Draw, golden_config, golden_priors, run_to_end
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

TOP = "prior_5b_lyrics"
CLASSES = [ToyBackend, SeveralAtOnce]


@pytest.fixture(params=CLASSES)
def toy(request, monkeypatch):
    """Its class, where `choose.py` has one more line."""
    path = f"{request.param.__module__}:{request.param.__name__}"
    monkeypatch.setitem(choose.BACKENDS, "toy", path)
    return request.param


def sampled(**how):
    """What an engine that uses the toy samples of every level, and what is right."""
    draws = {
        f"{level.label} {seed}": Draw(TOP, level, num_new=20, seed=seed)
        for level in COARSE_TO_FINE
        for seed in range(3)
    }
    engine = Engine(golden_priors(TOP), max_rows=4, backend="toy", **how)
    for name, window in draws.items():
        engine.submit(window.sequence(name))
    return run_to_end(engine), {name: window.slowly() for name, window in draws.items()}


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_an_engine_samples_with_it(toy, caplog):
    found, wanted = sampled()
    assert found == wanted
    assert not warnings(caplog)


def test_it_is_chosen_by_name_where_it_can_be_used(toy):
    config = golden_config(TOP)
    assert choose_backend(config, Target(device_type="cpu", is_float32=True), "toy") == "toy"
    with pytest.raises(ConfigError, match="the toy backend is for a CPU"):
        choose_backend(config, Target(device_type="cuda", is_float32=True), "toy")
    with pytest.raises(ConfigError, match="auto, native, torch, toy, triton"):
        choose_backend(config, Target(device_type="cpu", is_float32=True), "toys")


def test_the_library_generates_with_it(toy):
    model = model_with(TOP)
    song = {"duration_sec": top_seconds(5), "song_duration_sec": 62.0, "seed": 7}
    labels = labels_of_both_songs(model.tokenizer)
    wanted = model.ancestral_sample(labels, **song)
    try:
        assert model.use_backend("toy") == "toy"
        found = model.ancestral_sample(labels, **song)
    finally:
        model.use_backend("torch")
    for codes, right in zip(found, wanted, strict=True):
        assert torch.equal(codes, right)


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_one_that_disagrees_is_given_up_once_for_each_prior_and_no_song_changes(
    toy, error, monkeypatch, caplog
):
    monkeypatch.setattr(toy, "error", error)
    found, wanted = sampled()
    assert found == wanted
    lines = warnings(caplog)
    assert len(lines) == len(COARSE_TO_FINE)
    for line in lines:
        assert line.startswith("going on without the toy backend: SamplingError: logits differ by")


def test_one_that_fails_is_given_up_and_no_song_changes(toy, monkeypatch, caplog):
    monkeypatch.setattr(toy, "fault", ZeroDivisionError("a bug"))
    found, wanted = sampled()
    assert found == wanted
    assert "going on without the toy backend: ZeroDivisionError: a bug" in warnings(caplog)


def test_one_that_finds_no_memory_is_not_given_up_for_it(toy, monkeypatch, caplog):
    """Less memory at a time may do: that is for the engine to see to."""
    faults = [torch.OutOfMemoryError("CUDA out of memory.")]
    real = toy.decode

    def decode(self, *step):
        if faults:
            raise faults.pop()
        return real(self, *step)

    monkeypatch.setattr(toy, "decode", decode)
    found, wanted = sampled()
    assert found == wanted
    assert not [line for line in warnings(caplog) if "going on without" in line]


def test_what_consists_of_kernels_alone_is_captured(monkeypatch, caplog):
    monkeypatch.setitem(choose.BACKENDS, "toy", "tests.backends.toy:ToyBackend")
    monkeypatch.setattr(ToyBackend, "is_capturable", True)
    capturers = []

    def make():
        capturers.append(TapeCapturer())
        return capturers[-1]

    found, wanted = sampled(make_capturer=make, clock=lambda: 0.0)
    assert found == wanted
    assert not warnings(caplog)
    assert len(capturers) == len(COARSE_TO_FINE)
    assert all(each.num_replays for each in capturers)


def test_an_unknown_backend_ends_its_window_with_a_sentence_and_no_other():
    good = Draw(TOP, Level.TOP, num_new=10)
    engine = Engine(golden_priors(TOP), max_rows=4)
    bad = Draw(TOP, Level.TOP, num_new=10, seed=1).sequence("bad")
    bad.backend = "of tomorrow"
    engine.submit(bad)
    engine.submit(good.sequence("good"))
    results = run_to_end(engine)
    assert results["good"] == good.slowly()
    assert "'of tomorrow' is not known" in str(results["bad"])


def test_prior_codec_and_sampling_know_no_backend():
    words = re.compile(r"(?i)\b(native|triton|fused|cuda graphs?|step_?kind|backends?)\b")
    root = Path(jukebox_core.__file__).parent
    files = [
        file for name in ("prior", "vqvae", "sampling") for file in (root / name).rglob("*.py")
    ]
    assert len(files) > 20
    assert {file.name: words.findall(file.read_text("utf-8")) for file in files} == {
        file.name: [] for file in files
    }
