import pytest
import torch

from jukebox_core.errors import TrainingError
from jukebox_core.tiny import tiny_config
from jukebox_core.training.codec.level import VQVAELevel
from jukebox_core.training.ema_weights import EmaWeights
from jukebox_core.training.run_files import RunFiles
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from recipes.mini.evaluation.run_checkpoint import take_level_from_run

pytestmark = pytest.mark.nightly("recipe")

CODEC = tiny_config().vqvae


def saved_run(folder, level):
    trained = VQVAELevel(CODEC, level)
    averages = EmaWeights(trained, 0.5)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    averages.update(trained, 3)
    state = {"step": 250, "modules": trained.state_dict(), "ema": averages.state_dict()}
    RunFiles(folder).save_state(state)
    return trained, averages


def test_a_level_is_taken_with_its_averages_and_the_others_stay(tmp_path):
    trained, averages = saved_run(tmp_path, Level.MIDDLE)
    vqvae = JukeboxVQVAE(CODEC)
    before = {name: tensor.clone() for name, tensor in vqvae.state_dict().items()}
    assert take_level_from_run(vqvae, Level.MIDDLE, tmp_path) == 250
    name = next(name for name in averages.state_dict() if name.startswith("decoder."))
    found = vqvae.decoders[1].state_dict()[name.removeprefix("decoder.")]
    assert torch.equal(found, averages.state_dict()[name])
    assert torch.equal(vqvae.codebooks[1].codes, trained.codebook.codes)
    for key, tensor in vqvae.state_dict().items():
        assert torch.equal(tensor, before[key]) == (key.split(".")[1] != "1")


def test_a_run_of_another_level_and_one_that_saved_nothing_are_refused(tmp_path):
    saved_run(tmp_path / "run", Level.BOTTOM)
    with pytest.raises(TrainingError, match="top level"):
        take_level_from_run(JukeboxVQVAE(CODEC), Level.TOP, tmp_path / "run")
    with pytest.raises(TrainingError, match="not saved"):
        take_level_from_run(JukeboxVQVAE(CODEC), Level.TOP, tmp_path / "none")
