"""The library by itself: the fast backend, few threads, graphs where a worker has them."""

import shutil

import pytest
import torch

from jukebox_core.engine import local
from jukebox_core.engine.local import threads_for
from jukebox_core.model import JukeboxModel
from jukebox_core.models.catalog import BUNDLED_MODELS, read_config
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.backends.tape import TapeCapturer
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

CPU = torch.device("cpu")


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def mini():
    return JukeboxModel.from_pretrained("mini")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_small_model_is_loaded_with_the_fast_backend(mini):
    assert mini.backend == "native"
    assert mini.use_backend("torch") == mini.backend == "torch"
    assert mini.use_backend() == "native"


def test_a_small_model_takes_one_thread_and_gives_the_others_back(three_threads, mini):
    seen = []
    mini.ancestral_sample(
        mini.tokenizer("", ""),
        duration_sec=0.2,
        levels=(Level.TOP,),
        progress=lambda *_: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3


def test_a_wide_model_keeps_its_threads(three_threads, monkeypatch):
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 1)
    with threads_for(read_config(BUNDLED_MODELS / "mini"), CPU):
        assert torch.get_num_threads() == 3


def test_threads_are_given_back_between_the_pieces_of_a_song(three_threads, mini):
    pieces = mini.iter_sound(mini.tokenizer("", ""), duration_sec=0.2)
    next(pieces)
    assert torch.get_num_threads() == 3


def test_where_the_device_has_graphs_steps_are_captured_and_the_song_is_the_same(monkeypatch):
    model = model_with("prior_5b_lyrics")
    song = {"duration_sec": top_seconds(5), "song_duration_sec": 62.0, "seed": 7}
    labels = labels_of_both_songs(model.tokenizer)
    plain = model.ancestral_sample(labels, **song)
    capturers = []

    def make():
        capturers.append(TapeCapturer())
        return capturers[-1]

    monkeypatch.setattr(local, "capturer_maker", lambda device, wanted, *, weights_stay: make)
    captured = model.ancestral_sample(labels, **song)
    assert len(capturers) == len(COARSE_TO_FINE)
    assert all(capturer.num_replays for capturer in capturers)
    for codes, wanted in zip(captured, plain, strict=True):
        assert torch.equal(codes, wanted)
