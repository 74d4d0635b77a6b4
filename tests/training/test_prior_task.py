"""Training priors of every kind."""

import json
import math

import pytest
import torch

from jukebox_core.checkpoints import load_prior_of
from jukebox_core.errors import TrainingError
from jukebox_core.training.loop import train
from jukebox_core.training.priors.guide import GuidedHead, attention_hits, guide_loss
from jukebox_core.training.priors.measures import (
    lyric_attention,
    measure_prior,
    spread_places,
    unigram_code_bits,
)
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.priors.windows import Place, PriorWindows
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.prior_runs import (
    KINDS,
    prior_config,
    prior_task,
    random_songs,
    small_prior,
)


def learn_by_heart(kind, *, steps, guided=False):
    """A prior, and windows of songs that it has read again and again."""
    torch.manual_seed(0)
    config = prior_config(kind)
    windows = PriorWindows(config, random_songs(config, 3, num_tokens=64))
    prior = small_prior(config)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=6e-3, betas=(0.9, 0.95), weight_decay=0)
    batch = windows.batch([Place(song, 0) for song in range(3)])
    columns = batch.pop("columns", None)
    layer = config.lyrics.alignment_layer if guided else None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 6e-3 * min(1.0, (step + 1) / 10, 2 * (1 - step / steps))
        output = prior(**batch, record_attention=layer)
        loss = output.loss
        if guided:
            attention = lyric_attention(output.attention, config)
            loss = loss + guide_loss(attention, columns, (GuidedHead(0),))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return prior.eval(), windows


def log_of(run_dir):
    """The lines of a run's log."""
    return [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]


@pytest.mark.nightly("learning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_learns_a_few_windows_by_heart(kind):
    prior, windows = learn_by_heart(kind, steps=150)
    with torch.no_grad():
        batch = windows.batch([Place(song, 0) for song in range(3)])
        batch.pop("columns", None)
        assert prior(**batch).music_loss.item() < 0.1


@pytest.mark.nightly("learning")
@pytest.mark.parametrize("kind", ["separate lyrics", "merged lyrics"])
def test_the_guide_leads_the_alignment_head_to_the_character_that_is_sung(kind):
    prior, windows = learn_by_heart(kind, steps=150, guided=True)
    batch = windows.batch([Place(song, 0) for song in range(3)])
    columns = batch.pop("columns")
    with torch.no_grad():
        output = prior(**batch, record_attention=prior.config.lyrics.alignment_layer)
    hits, num_sung = attention_hits(lyric_attention(output.attention, prior.config), columns, 0)
    assert hits / num_sung > 0.8


@pytest.mark.nightly("learning")
def test_wrong_labels_and_codes_above_cost_bits_once_a_prior_listens():
    prior, windows = learn_by_heart("middle", steps=100)
    places = [Place(song, 0) for song in range(3)]
    measured = measure_prior(prior, windows, places, code_bits=unigram_code_bits(windows))
    figures = measured.to_dict()
    assert figures["bits_per_token"] < 0.5
    assert 6 < figures["unigram_bits"] < 8.1
    assert figures["d_upper"] + figures["d_artist"] + figures["d_genre"] > 1


def test_codes_that_do_not_count_leave_no_trace_in_the_losses():
    config = prior_config("middle")
    prior = small_prior(config).eval()
    windows = PriorWindows(config, random_songs(config, 1, num_tokens=40))
    batch = windows.batch([Place(0, 0)])
    loss = prior(**batch).loss
    batch["codes"][:, 40:] = 99
    torch.testing.assert_close(prior(**batch).loss, loss, rtol=0, atol=0)
    batch["codes"][:, 39] = (batch["codes"][:, 39] + 1) % 256
    assert prior(**batch).loss != loss


def test_recomputed_activations_give_the_same_gradients():
    config = prior_config("separate lyrics")
    windows = PriorWindows(config, random_songs(config, 2, num_tokens=64))
    batch = windows.batch([Place(0, 0), Place(1, 0)])
    batch.pop("columns")
    prior = small_prior(config)
    gradients = []
    for recompute in (False, True):
        prior.transformer.gradient_checkpointing = recompute
        prior.zero_grad()
        prior(**batch).loss.backward()
        gradients.append([weight.grad.clone() for weight in prior.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, recomputed, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("level", list(Level))
def test_a_run_lowers_the_loss_writes_samples_and_leaves_its_weights_in_the_model(tmp_path, level):
    settings = TrainingSettings(
        steps=8, batch_size=2, warmup_steps=2, log_every=1, evaluate_every=4, sample_every=8
    )
    task = prior_task(tmp_path, level, settings)
    result = train(task, settings, tmp_path / "run")
    lines = log_of(tmp_path / "run")
    assert result.finished
    assert lines[-1]["bits_per_token"] < lines[0]["bits_per_token"]
    assert {"held_out_bits_per_token", "held_out_unigram_bits", "held_out_d_artist"} <= set(
        lines[-1]
    )
    assert (tmp_path / "run" / "samples" / "step_0000008" / "drawn_0.wav").is_file()
    written = load_prior_of(tmp_path / "model", level).state_dict()
    for name, weight in task.modules.state_dict().items():
        torch.testing.assert_close(written[name], weight, rtol=0, atol=0)


def test_a_prior_resumed_has_the_losses_of_one_that_was_never_stopped(tmp_path):
    settings = TrainingSettings(steps=6, batch_size=2, log_every=1, precision="bf16")
    whole = train(prior_task(tmp_path, Level.TOP, settings), settings, tmp_path / "whole")
    # The end of a run changes the model that the next one begins with: begin with the same.
    (tmp_path / "model").rename(tmp_path / "trained")
    for _ in range(3):
        asked = iter([False, True])
        task = prior_task(tmp_path, Level.TOP, settings)
        train(task, settings, tmp_path / "parts", should_stop=lambda asked=asked: next(asked))
    logs = [log_of(tmp_path / run) for run in ("whole", "parts")]
    assert whole.finished
    for one, other in zip(*logs, strict=True):
        for name in ("step", "loss", "bits_per_token", "guide", "attention_accuracy"):
            assert one[name] == other[name]


def test_the_guide_fades_from_its_first_weight_to_its_last():
    settings = PriorSettings(guide_weight=1.0, guide_final=0.2, guide_steps=10)
    assert settings.guide_weight_at(0, 100) == 1.0
    assert settings.guide_weight_at(5, 100) == pytest.approx(0.6)
    assert settings.guide_weight_at(50, 100) == pytest.approx(0.2)
    assert PriorSettings(guide_final=0.0).guide_weight_at(50, 100) == pytest.approx(0.5)


def test_without_a_guide_the_loss_is_that_of_the_prior_alone(tmp_path):
    task = prior_task(
        tmp_path, Level.TOP, prior_settings=PriorSettings(guide_weight=0, guide_final=0)
    )
    batch = task.batch(0, 0, 0)
    loss, metrics = task.loss(batch)
    assert "guide" not in metrics
    assert loss == task.modules(**batch).loss


def test_a_frozen_part_stays_as_it_was(tmp_path):
    settings = TrainingSettings(steps=3, batch_size=2)
    told = PriorSettings(freeze=("conditioner", "labels"), evaluation_windows=2)
    task = prior_task(tmp_path, Level.MIDDLE, settings, told)
    before = {name: weight.clone() for name, weight in task.modules.state_dict().items()}
    train(task, settings, tmp_path / "run")
    for name, weight in task.modules.state_dict().items():
        frozen = name.startswith(("conditioner.", "labels."))
        assert torch.equal(weight, before[name]) == frozen, name


def test_freezing_what_is_not_there_names_what_is(tmp_path):
    with pytest.raises(TrainingError, match=r"lyrics.*conditioner"):
        prior_task(tmp_path, Level.MIDDLE, prior_settings=PriorSettings(freeze=("lyrics",)))


def test_windows_to_measure_on_are_always_the_same(tmp_path):
    config = prior_config("bottom")
    windows = PriorWindows(config, random_songs(config, 3, num_tokens=256))
    assert spread_places(windows, 9) == spread_places(windows, 9)
    assert {place.song for place in spread_places(windows, 9)} == {0, 1, 2}


@pytest.mark.parametrize(
    "field", ["start_share", "end_share", "label_dropout", "upper_noise", "own_errors"]
)
def test_a_share_above_one_is_refused(field):
    with pytest.raises(TrainingError, match=field):
        PriorSettings(**{field: math.nextafter(1.0, 2.0)})


def test_beginnings_and_ends_cannot_be_more_than_all_windows():
    with pytest.raises(TrainingError, match=r"start_share and end_share .* 0\.7 and 0\.4"):
        PriorSettings(start_share=0.7, end_share=0.4)
