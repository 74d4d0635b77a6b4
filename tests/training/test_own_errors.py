"""A prior reads errors of its own, and ends that come too early; it must predict the truth."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from jukebox_core.training.loop import train
from jukebox_core.training.priors.own_errors import (
    LONGEST_FALSE_END,
    NEAR_THE_END,
    with_drawn_codes,
    with_false_end,
)
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.priors.windows import Place, PriorWindows
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.prior_runs import prior_config, prior_task, random_songs, small_prior

END = np.array([7, 8, 9, 9], dtype=np.int16)


def test_drawn_codes_are_as_frequent_as_the_logits_say():
    shares = torch.tensor([0.5, 0.0, 0.3, 0.2])
    codes = torch.full((1, 20_000), 9)
    chances = torch.rand((2, *codes.shape), generator=torch.Generator().manual_seed(0))
    read = with_drawn_codes(codes, shares.log().expand(1, 20_000, 4), chances, 0.25)
    is_drawn = read != 9
    assert float(is_drawn.float().mean()) == pytest.approx(0.25, abs=0.02)
    counts = torch.bincount(read[is_drawn], minlength=4) / is_drawn.sum()
    torch.testing.assert_close(counts, shares, atol=0.03, rtol=0)


@pytest.mark.parametrize("chance", [0.0, float(np.nextafter(np.float32(1), np.float32(0)))])
def test_the_smallest_and_the_largest_chance_draw_codes_that_can_be(chance):
    logits = torch.tensor([-torch.inf, 0.0, -1.0, -torch.inf]).expand(1, 1, 4)
    chances = torch.tensor([0.0, chance]).view(2, 1, 1)
    assert int(with_drawn_codes(torch.tensor([[3]]), logits, chances, 1.0)) in (1, 2)


@pytest.mark.parametrize("num_left", [1, 30, 100, 400])
def test_a_false_end_is_one_run_of_last_codes_inside_the_song(num_left):
    codes = np.arange(1000, 1100)
    codes[num_left:] = 0
    for seed in range(50):
        found = with_false_end(codes, num_left, END, np.random.default_rng(seed))
        changed = np.flatnonzero(found != codes)
        assert 1 <= len(changed) <= LONGEST_FALSE_END
        assert changed[-1] < num_left
        assert np.array_equal(changed, np.arange(changed[0], changed[-1] + 1))
        assert set(found[changed]) <= set(END)


def test_half_of_the_false_ends_are_near_the_true_one_where_it_is_in_the_window():
    codes, num_starts = np.zeros(1000, dtype=np.int64) - 1, 400
    near = 0
    for seed in range(num_starts):
        found = with_false_end(codes, 800, END, np.random.default_rng(seed))
        near += int(np.flatnonzero(found != codes)[0] >= 800 - NEAR_THE_END)
    assert near / num_starts == pytest.approx(0.54, abs=0.07)


def test_false_ends_are_made_of_the_last_codes_of_the_windows_own_song():
    config = prior_config("separate lyrics")
    windows = PriorWindows(config, random_songs(config, 2, num_tokens=200))
    place, random = Place(song=1, start=40), np.random.default_rng(1)
    true = windows.codes_at(place)
    assert np.array_equal(windows.read_codes_at(place, random, 0.0), true)
    read = windows.read_codes_at(place, random, 1.0)
    assert set(read[read != true]) <= set(windows.songs[1].codes[-4:])


def test_a_batch_asks_for_the_truth_and_reads_false_ends(tmp_path):
    settings = TrainingSettings(steps=1, batch_size=4)
    plain = prior_task(tmp_path, Level.TOP, settings).batch(0, 0, 0)
    told = PriorSettings(own_errors=0.5, false_ends=1.0, evaluation_windows=2)
    batch = prior_task(tmp_path, Level.TOP, settings, told).batch(0, 0, 0)
    assert plain.keys() & {"read_codes", "chances"} == set()
    assert torch.equal(plain["codes"], batch["codes"])
    assert (batch["read_codes"] != batch["codes"]).any(dim=1).sum() >= 3
    assert batch["chances"].shape == (2, *batch["codes"].shape)


def test_a_prior_predicts_the_true_codes_from_those_it_is_given_to_read():
    config = prior_config("separate lyrics")
    prior = small_prior(config).eval()
    labels = torch.zeros(1, 4 + config.labels.max_genres + config.lyrics.num_tokens).long()
    labels[:, 0] = 160_000
    codes, read = torch.randint(0, config.num_codes, (2, 1, config.context_tokens))
    with torch.no_grad():
        output = prior(codes, labels, read_codes=read)
        logits = prior(read, labels).logits
    torch.testing.assert_close(output.logits, logits)
    wanted = functional.cross_entropy(logits[0].float(), codes[0]) / np.log(2)
    torch.testing.assert_close(output.music_loss, wanted.float())


@pytest.mark.parametrize("level", [Level.TOP, Level.BOTTOM])
def test_what_a_prior_draws_itself_changes_what_it_reads_and_not_what_is_counted(tmp_path, level):
    settings = TrainingSettings(steps=1, batch_size=2)
    told = PriorSettings(own_errors=1.0, evaluation_windows=2)
    task = prior_task(tmp_path, level, settings, told)
    batch = task.batch(0, 0, 0)
    loss, _ = task.loss(batch)
    truth, _ = task.loss({name: value for name, value in batch.items() if name != "chances"})
    assert loss != truth
    again, _ = task.loss(task.batch(0, 0, 0))
    assert torch.equal(again, loss)
    loss.backward()
    assert all(weight.grad is not None for weight in task.modules.parameters())


def test_a_run_that_was_stopped_goes_on_with_the_errors_that_it_would_have_met(tmp_path):
    told = PriorSettings(own_errors=0.3, false_ends=0.5, evaluation_windows=2)
    settings = TrainingSettings(steps=4, batch_size=2, save_every=1)
    weights = []
    for name, stops in (("whole", [False]), ("parts", [True, False])):
        folder = tmp_path / name
        folder.mkdir()
        torch.manual_seed(3)  # the heads and the model are the same in both
        for stop in stops:
            task = prior_task(folder, Level.TOP, settings, told)
            train(task, settings, folder / "run", should_stop=lambda stop=stop: stop)
        weights.append(task.modules.state_dict())
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name
