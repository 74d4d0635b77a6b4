"""Training what takes haze from the sound of a model."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.commands.training.train import train_app
from jukebox_core.audio import write_audio
from jukebox_core.checkpoints import load_directory
from jukebox_core.config import PostFilterConfig
from jukebox_core.errors import TrainingError
from jukebox_core.model import JukeboxModel
from jukebox_core.training.dataset.data import silent
from jukebox_core.training.dataset.new_model import new_model
from jukebox_core.training.loop import train
from jukebox_core.training.post_filter.losses import mel_loss, spectral_losses, waveform_loss
from jukebox_core.training.post_filter.material import Pieces, folder_songs, make_pieces
from jukebox_core.training.post_filter.settings import PostFilterSettings
from jukebox_core.training.post_filter.task import PostFilterTask
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.prior_runs import write_noise

SMALL = PostFilterConfig(n_fft=256, hop=64, width=6, time_dilations=(1, 1), bin_dilations=(1, 2))
FEW = PostFilterSettings(pieces=3, piece_sec=0.5, crop_samples=4096)


def plan(**changes):
    values = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluate_every": 0, "threads": 1}
    return TrainingSettings(**(values | changes))


def write_model(tmp_path):
    """A tiny untrained model for the songs of a folder."""
    new_model(write_noise(tmp_path / "data", 3), tmp_path / "model", like="tiny")
    return tmp_path / "model"


def hazy_pieces(num=4, num_samples=8192):
    """Tones, and the same under noise."""
    generator = torch.Generator().manual_seed(0)
    times = torch.arange(num_samples) / 16_000
    true = torch.stack(
        [0.3 * torch.sin(2 * torch.pi * 220 * (1 + number) * times) for number in range(num)]
    )
    noise = 0.05 * torch.randn(true.shape, generator=generator)
    return Pieces(true, true + noise, true + 2 * noise)


def tones_without_a_list(folder):
    folder.mkdir()
    for number in range(2):
        tone = np.sin(np.arange(12_000) * 0.05 * (1 + number)).astype(np.float32) * 0.3
        write_audio(folder / f"{number}.wav", tone, 16_000)
    return folder


def test_a_filter_takes_noise_from_tones_it_has_not_heard(tmp_path):
    model_dir = write_model(tmp_path)
    settings = plan(steps=60, learning_rate=3e-3, batch_size=4)
    task = PostFilterTask(SMALL, hazy_pieces(), model_dir, settings, FEW)
    result = train(task, settings, tmp_path / "run")
    figures = result.evaluation
    assert figures["drawn_lsd_db"] < 0.8 * figures["drawn_lsd_db_before"]


def test_a_trained_filter_is_a_part_of_the_model_and_the_rest_stays(tmp_path):
    model_dir = write_model(tmp_path)
    before = load_directory(model_dir)
    for seed in (0, 1):  # the second replaces the first
        task = PostFilterTask(SMALL, hazy_pieces(), model_dir, plan(seed=seed), FEW)
        train(task, plan(seed=seed), tmp_path / f"run-{seed}")
    after = load_directory(model_dir)
    assert after.config.vqvae.post_filter == SMALL
    for name, tensor in before.vqvae.state_dict().items():
        assert torch.equal(after.vqvae.state_dict()[name], tensor)
    for name, tensor in task.modules.state_dict().items():
        torch.testing.assert_close(after.vqvae.post_filter.state_dict()[name], tensor)


def test_pieces_are_made_once_for_the_same_weights(tmp_path):
    model_dir = write_model(tmp_path)
    songs = folder_songs(tones_without_a_list(tmp_path / "tones"), 16_000, report=silent)
    model = JukeboxModel.from_pretrained(model_dir)
    told = []
    made = make_pieces(model, songs, FEW, tmp_path / "pieces", seed=1, report=told.append)
    assert len(made) == 3
    assert made.true.shape == made.reconstructed.shape == made.drawn.shape
    assert len(told) == 1
    again = make_pieces(model, songs, FEW, tmp_path / "pieces", seed=1, report=told.append)
    assert len(told) == 1
    assert torch.equal(again.drawn, made.drawn)
    with torch.no_grad():
        next(model.prior(Level.BOTTOM).parameters()).add_(0.1)
    make_pieces(model, songs, FEW, tmp_path / "pieces", seed=1, report=told.append)
    assert len(told) == 2


def test_pieces_are_rendered_without_the_filter_that_a_model_has(tmp_path):
    model_dir = write_model(tmp_path)
    songs = folder_songs(tones_without_a_list(tmp_path / "tones"), 16_000, report=silent)
    settings = PostFilterSettings(pieces=2, piece_sec=0.5, drawn_share=0)
    model = JukeboxModel.from_pretrained(model_dir)
    plain = make_pieces(model, songs, settings, tmp_path / "one", seed=1, report=silent)
    assert plain.drawn is None
    task = PostFilterTask(SMALL, hazy_pieces(), model_dir, plan(steps=20), FEW)
    train(task, plan(steps=20), tmp_path / "run")
    filtered = JukeboxModel.from_pretrained(model_dir)
    assert filtered.vqvae.post_filter is not None
    again = make_pieces(filtered, songs, settings, tmp_path / "two", seed=1, report=silent)
    torch.testing.assert_close(again.reconstructed, plain.reconstructed)
    assert filtered.vqvae.post_filter is not None


def test_a_folder_without_a_list_is_all_its_sound_files(tmp_path):
    folder = tones_without_a_list(tmp_path / "tones")
    (folder / "notes.txt").write_text("no sound")
    songs = folder_songs(folder, 16_000, report=silent)
    assert [song.name for song in songs] == ["0.wav", "1.wav"]
    assert songs[0].num_samples == 12_000
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TrainingError, match="neither a list of songs"):
        folder_songs(empty, 16_000, report=silent)
    (empty / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(TrainingError, match=r"broken\.wav"):
        folder_songs(empty, 16_000, report=silent)


def test_sound_without_a_difference_costs_nothing():
    audio = 0.1 * torch.randn(2, 8192)
    assert waveform_loss(audio, audio).item() == 0
    assert mel_loss(audio, audio, 16_000).item() == 0
    assert [loss.item() for loss in spectral_losses(audio, audio, 16_000)] == [0, 0]
    assert mel_loss(audio, 2 * audio, 16_000).item() == pytest.approx(np.log(2), abs=0.05)


def test_the_command_trains_on_a_folder_of_audio(tmp_path):
    model_dir = write_model(tmp_path)
    folder = tones_without_a_list(tmp_path / "tones")
    arguments = [
        *("post-filter", str(folder), str(model_dir), "--run-dir", str(tmp_path / "run")),
        *("--steps", "2", "--batch", "1", "--pieces", "2", "--piece-sec", "0.5"),
        *("--crop-samples", "4096", "--device", "cpu"),
    ]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 0, result.output
    config = json.loads((model_dir / "config.json").read_text())["config"]["vqvae"]
    assert config["post_filter"]["n_fft"] == 1024
    assert (tmp_path / "run" / "log.jsonl").is_file()
    model = JukeboxModel.from_pretrained(model_dir)
    assert torch.isfinite(model.vqvae.decode([torch.zeros(1, 100, dtype=torch.int64)])).all()


@pytest.mark.parametrize("values", [{"pieces": 1}, {"drawn_share": 1.5}, {"mel_weight": -1.0}])
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(TrainingError):
        PostFilterSettings(**values)
