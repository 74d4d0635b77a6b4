"""The metre: from the times of bars to a head that must tell the place in them."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from jukebox_core.checkpoints import load_prior_of
from jukebox_core.training.loop import train
from jukebox_core.training.priors.bar_position import (
    NO_BAR,
    NUM_BAR_PLACES,
    MetreHead,
    bar_places,
    metre_accuracy,
    metre_loss,
)
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.prior_runs import prior_config, prior_task, small_prior


def places_of(starts_sec, num_tokens):
    """Places in bars of tokens of 10 ms."""
    starts = None if starts_sec is None else np.array(starts_sec, dtype=float)
    song = SimpleNamespace(bar_start_sec=starts, sample_rate_hz=16_000)
    return bar_places(song, samples_per_token=160, num_tokens=num_tokens)


def with_bars(tmp_path, settings, prior_settings=None, level=Level.TOP):
    """A task on songs whose bars are known, each of a quarter of a second."""
    prior_task(tmp_path, level, settings)
    list_of_songs = tmp_path / "data" / "songs.json"
    rows = json.loads(list_of_songs.read_text())
    for row in rows:
        row["bar_start_sec"] = [0.0, 0.25, 0.5, 0.75, 1.0]
    list_of_songs.write_text(json.dumps(rows))
    return prior_task(tmp_path, level, settings, prior_settings)


def test_a_token_is_as_far_in_its_bar_as_its_middle():
    # The middles are at 5, 15, 25 ms ...; bars begin at 10 and 330 ms, and the second ends at 350.
    places = places_of([0.010, 0.330, 0.350], 36)
    assert places[0] == NO_BAR
    assert places[1:4].tolist() == [0, 1, 2]
    assert places[32] == NUM_BAR_PLACES - 1
    assert places[33:35].tolist() == [8, 24]
    assert places[35] == NO_BAR


@pytest.mark.parametrize("starts_sec", [[], [0.0]])
def test_a_bar_whose_end_nobody_knows_has_no_places(starts_sec):
    assert places_of(starts_sec, 3).tolist() == [NO_BAR] * 3


def test_without_bars_there_are_no_places():
    assert places_of(None, 3) is None


def test_the_loss_is_the_cross_entropy_where_bars_are_known():
    logits = torch.randn(1, 3, NUM_BAR_PLACES)
    places = torch.tensor([[5, NO_BAR, 31]])
    wanted = functional.cross_entropy(logits[0, [0, 2]], torch.tensor([5, 31]))
    torch.testing.assert_close(metre_loss(logits, places), wanted)
    assert metre_loss(logits, torch.full((1, 3), NO_BAR)) == 0


def test_the_end_of_a_bar_lies_beside_its_beginning():
    told = torch.tensor([[31, 1, 5, 9]])
    logits = functional.one_hot(told, NUM_BAR_PLACES).float()
    places = torch.tensor([[0, 0, 9, NO_BAR]])
    assert metre_accuracy(logits, places) == pytest.approx(2 / 3)


def test_a_head_reads_a_batch_once_and_only_in_training():
    config = prior_config("separate lyrics")
    prior = small_prior(config)
    head = MetreHead(prior)
    codes = torch.zeros(1, config.context_tokens, dtype=torch.int64)
    labels = torch.zeros(1, 4 + config.labels.max_genres + config.lyrics.num_tokens).long()
    labels[:, 0] = 160_000
    prior(codes, labels)
    assert head(config.context_tokens).shape == (1, config.context_tokens, NUM_BAR_PLACES)
    with pytest.raises(RuntimeError, match="must read a batch"):
        head(config.context_tokens)
    prior.eval()(codes, labels)
    with pytest.raises(RuntimeError, match="must read a batch"):
        head(config.context_tokens)


def test_a_prior_learns_where_in_the_bar_it_is_and_is_saved_without_the_head(tmp_path):
    settings = TrainingSettings(steps=40, batch_size=2, warmup_steps=2, log_every=1)
    told = PriorSettings(metre_weight=1.0, evaluation_windows=2)
    task = with_bars(tmp_path, settings, told)
    train(task, settings, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["bar_accuracy"] < 0.5 < lines[-1]["bar_accuracy"]
    written = load_prior_of(tmp_path / "model", Level.TOP).state_dict()
    assert not any("metre" in name for name in written)
    for name, weight in task.modules["prior"].state_dict().items():
        torch.testing.assert_close(written[name], weight, rtol=0, atol=0)


def test_a_prior_with_a_head_resumed_has_the_losses_of_one_that_was_never_stopped(tmp_path):
    settings = TrainingSettings(steps=4, batch_size=2, log_every=1)
    train(with_bars(tmp_path, settings), settings, tmp_path / "whole")
    (tmp_path / "model").rename(tmp_path / "trained")
    for _ in range(2):
        asked = iter([False, True])
        task = with_bars(tmp_path, settings)
        train(task, settings, tmp_path / "parts", should_stop=lambda asked=asked: next(asked))
    logs = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("whole", "parts")]
    for one, other in zip(*[map(json.loads, log) for log in logs], strict=True):
        assert (one["loss"], one["bar_accuracy"]) == (other["loss"], other["bar_accuracy"])


@pytest.mark.parametrize(
    ("level", "weight"), [(Level.TOP, 0.0), (Level.MIDDLE, 1.0)], ids=["not wanted", "told above"]
)
def test_nobody_asks_for_the_metre_in_vain(tmp_path, level, weight):
    settings = TrainingSettings(steps=1, batch_size=2)
    told = PriorSettings(metre_weight=weight, evaluation_windows=2)
    task = with_bars(tmp_path, settings, told, level)
    _, metrics = task.loss(task.batch(0, 0, 0))
    assert "bar_accuracy" not in metrics


def test_an_untaught_head_says_every_place_alike():
    loss = metre_loss(torch.zeros(1, 2, NUM_BAR_PLACES), torch.tensor([[0, 7]]))
    assert loss == pytest.approx(math.log(NUM_BAR_PLACES))
