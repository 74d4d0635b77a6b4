"""Pitches and chords of tokens, and a codec that is asked for them."""

import json

import numpy as np
import pytest
import torch

from jukebox_core.checkpoints.load import load_vqvae_of
from jukebox_core.errors import TrainingError
from jukebox_core.training.codec.crops import Crops
from jukebox_core.training.codec.settings import VQVAELevelSettings
from jukebox_core.training.codec.task import VQVAETask
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.training.dataset.notes import LOWEST_MIDI, UNKNOWN, chord_tones, melody_pitches
from jukebox_core.training.loop import train
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.codec_runs import CODEC, codec_task, write_tones, write_untrained

HEARD = VQVAELevelSettings(crop_samples=2048, pitch_weight=0.5, chroma_weight=0.2)


def settings(**changes):
    values = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluate_every": 0, "threads": 1}
    return TrainingSettings(**(values | changes))


@pytest.fixture
def songs(tmp_path):
    """Tones of half a second, of which the list says the note and the chord."""
    folder = write_tones(tmp_path / "songs", num_held_out=0)
    rows = json.loads((folder / "songs.json").read_text())
    for number, row in enumerate(rows):
        row["notes"] = [[0.1, 0.3, 45 + 12 * (number % 2), "a"], [0.3, 0.4, 20, "e"]]
        row["chords"] = [[0.0, 0.25, [9, 0, 4]]]
    (folder / "songs.json").write_text(json.dumps(rows))
    return folder


def test_a_token_has_the_pitch_that_is_sung_at_its_middle(songs):
    song = TrainingData(songs, 16_000).songs()[0]
    pitches = melody_pitches(song, 160)  # tokens of a hundredth of a second
    sung = 45 - LOWEST_MIDI + 1
    assert pitches.tolist() == [0] * 10 + [sung] * 20 + [UNKNOWN] * 10 + [0] * 10


def test_a_token_has_the_chord_that_sounds_at_its_middle(songs):
    song = TrainingData(songs, 16_000).songs()[0]
    bass, tones = chord_tones(song, 160)
    assert bass.tolist() == [10] * 25 + [0] * 25
    assert tones[:, :25].sum(axis=1).nonzero()[0].tolist() == [0, 4, 9]
    assert tones[:, 25:].max() == 0


def test_without_a_list_of_notes_no_pitch_is_known(tmp_path):
    song = TrainingData(write_tones(tmp_path / "songs"), 16_000).songs()[0]
    assert set(melody_pitches(song, 160)) == {UNKNOWN}
    bass, tones = chord_tones(song, 160)
    assert set(bass) == {UNKNOWN}
    assert tones.shape == (12, 50)
    assert tones.max() == 0


def test_pieces_bring_the_pitches_of_their_place(songs):
    data = TrainingData(songs, 16_000)
    crops = Crops(data.songs(), crop_samples=2048, samples_per_token=16, artists=[], genres=[])
    batch = crops.batch(3, 5)
    truths = [melody_pitches(song, 16) for song in data.songs()]
    for piece in batch["pitches"].numpy():
        assert any(
            np.array_equal(piece, truth[start : start + 128])
            for truth in truths
            for start in range(len(truth) - 127)
        )
    assert batch["chroma"].shape == (3, 12, 128)
    assert batch["bass"].shape == (3, 128)


def test_a_codec_that_is_asked_for_the_pitch_tells_it(songs, tmp_path):
    model_dir = write_untrained(tmp_path / "model")
    plan = settings(steps=60, batch_size=4, learning_rate=3e-3, warmup_steps=5)
    task = codec_task(songs, model_dir, plan, level_settings=HEARD)
    result = train(task, plan, tmp_path / "run")
    assert result.evaluation["pitch_accuracy"] > 0.75  # by chance 0.5
    assert not any("head" in name for name in load_vqvae_of(model_dir).state_dict())


def test_a_warm_start_goes_on_from_the_codes_of_the_model(songs, tmp_path):
    model_dir = write_untrained(tmp_path / "model")
    first = codec_task(songs, model_dir, settings())
    train(first, settings(), tmp_path / "first")
    before = load_vqvae_of(model_dir)
    task = VQVAETask(
        Level.BOTTOM,
        CODEC,
        TrainingData(songs, 16_000),
        model_dir,
        settings(),
        HEARD,
        warm_start=True,
    )
    audio = task.batch(0, 0, 0)["audio"]
    (codes,) = before.encode(audio[..., None], 0, 1)
    assert (task.modules.eval()(audio).codes == codes).float().mean() > 0.99
    tiny = settings(steps=1, learning_rate=1e-9)
    train(task, tiny, tmp_path / "second")
    moved = load_vqvae_of(model_dir).codebooks[0].codes - before.codebooks[0].codes
    assert moved.abs().max() < before.codebooks[0].codes.abs().max()
    (after,) = load_vqvae_of(model_dir).encode(audio[..., None], 0, 1)
    assert (after == codes).float().mean() > 0.5


def test_a_warm_start_needs_weights(songs, tmp_path):
    model_dir = write_untrained(tmp_path / "model")
    data = TrainingData(songs, 16_000)
    with pytest.raises(TrainingError, match=r"vqvae\.safetensors"):
        VQVAETask(Level.TOP, CODEC, data, model_dir, settings(), HEARD, warm_start=True)


def test_the_heads_of_pitch_and_chords_are_not_in_the_loss_unless_they_weigh(songs, tmp_path):
    task = codec_task(songs, tmp_path, settings(), level_settings=HEARD)
    loss, parts = task.loss(task.batch(0, 0, 0))
    torch.testing.assert_close(
        loss,
        CODEC.commit_weight * parts["commit"]
        + parts["l2"]
        + 0.02 * parts["linf"]
        + parts["multispectral"]
        + 0.5 * parts["pitch"]
        + 0.2 * (parts["bass"] + parts["chroma"]),
    )
