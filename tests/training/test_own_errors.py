"""A prior reads errors of its own while it learns; it must predict the truth."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from jukebox_core.training.loop import train
from jukebox_core.training.priors.own_errors import with_drawn_codes
from jukebox_core.training.priors.settings import PriorSettings
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from tests.training.prior_runs import prior_config, prior_task, small_prior


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
    told = PriorSettings(own_errors=0.3, evaluation_windows=2)
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
