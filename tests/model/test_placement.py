"""A model sings the same wherever its weights are."""

import copy

import pytest
import torch

from jukebox_core.errors import ConfigError
from jukebox_core.model import JukeboxModel
from jukebox_core.models.placement import Placement
from jukebox_core.units import COARSE_TO_FINE, Level


def sing(model):
    labels = model.tokenizer("The Sawtooths", "drone", "Hello, hello")
    codes = model.ancestral_sample(labels, duration_sec=0.6, seed=7)
    return codes, model.decode(codes)


@pytest.fixture(scope="module")
def wanted(tiny_model_dir):
    return sing(JukeboxModel.from_pretrained(tiny_model_dir))


@pytest.mark.parametrize("placement", [*Placement, "auto"])
def test_a_song_is_the_same_with_every_placement(tiny_model_dir, wanted, placement):
    model = JukeboxModel.from_pretrained(tiny_model_dir, placement=placement)
    codes, audio = sing(model)
    assert all(torch.equal(a, b) for a, b in zip(codes, wanted[0], strict=True))
    assert torch.equal(audio, wanted[1])


@pytest.mark.parametrize("placement", ["one_at_a_time", "offloaded"])
def test_a_model_that_was_moved_about_is_saved_whole(tiny_model_dir, tmp_path, placement):
    model = JukeboxModel.from_pretrained(tiny_model_dir, placement=placement)
    sing(model)
    model.save_pretrained(tmp_path / "saved")
    saved = JukeboxModel.from_pretrained(tmp_path / "saved").state_dict()
    first = JukeboxModel.from_pretrained(tiny_model_dir).state_dict()
    assert saved.keys() == first.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in first.items())


def test_asking_for_a_level_takes_the_others_from_the_device(tiny_model_dir):
    model = JukeboxModel.from_pretrained(
        tiny_model_dir, device="meta", placement=Placement.ONE_AT_A_TIME
    )
    for level in COARSE_TO_FINE:
        assert model.prior(level).token_embedding.weight.is_meta
        on_device = [prior.token_embedding.weight.is_meta for prior in model.priors]
        assert on_device == [other is level for other in COARSE_TO_FINE]


def test_a_copy_has_priors_of_its_own(tiny_model_dir):
    model = JukeboxModel.from_pretrained(tiny_model_dir)
    twin = copy.deepcopy(model)
    assert twin.prior(Level.TOP) is twin.priors[0]
    assert twin.prior(Level.TOP) is not model.prior(Level.TOP)


def test_an_unknown_placement_is_refused(tiny_model_dir):
    with pytest.raises(ConfigError, match="'everywhere' is not known"):
        JukeboxModel.from_pretrained(tiny_model_dir, placement="everywhere")


def test_a_song_for_which_the_host_has_no_memory_ends_with_a_sentence(tiny_model_dir, monkeypatch):
    monkeypatch.setattr("jukebox_core.models.device_memory.free_host_bytes", lambda: 1)
    with pytest.raises(torch.OutOfMemoryError, match="of the top prior alone does not fit"):
        sing(JukeboxModel.from_pretrained(tiny_model_dir))
