"""Moving averages and the revival of dead codes, by hand-made cases."""

import pytest
import torch

from jukebox_core.training.codec.codebook_learning import (
    DEAD_SHARE,
    REVIVED_SHARE,
    CodebookLearner,
    perplexity,
    rows_of,
)
from jukebox_core.vqvae.codebook import Codebook


@pytest.fixture(autouse=True)
def _same_chance():
    torch.manual_seed(0)


def codebook_of(codes):
    codes = torch.tensor(codes)
    codebook = Codebook(*codes.shape)
    codebook.codes.copy_(codes)
    return codebook


def settled_learner(codebook, *, count, decay):
    """A learner whose averages say that every code was chosen `count` times a step for long."""
    learner = CodebookLearner(*codebook.codes.shape, decay=decay)
    learner.counts.fill_(count)
    learner.sums.copy_(codebook.codes * count)
    learner.steps.fill_(10_000)
    return learner


def test_codes_begin_on_vectors_of_the_first_batch():
    codebook, vectors = Codebook(4, 2), torch.randn(9, 2)
    learner = CodebookLearner(4, 2)
    learner.initialize(codebook, vectors)
    rows = {tuple(row) for row in vectors.tolist()}
    assert {tuple(code) for code in codebook.codes.tolist()} <= rows
    assert len({tuple(code) for code in codebook.codes.tolist()}) == 4
    assert learner.counts.tolist() == [9 / 4] * 4
    torch.testing.assert_close(learner.sums / learner.counts[:, None], codebook.codes)


def test_codes_are_placed_only_once():
    codebook, learner = Codebook(4, 2), CodebookLearner(4, 2)
    learner.initialize(codebook, torch.randn(9, 2))
    placed = codebook.codes.clone()
    learner.initialize(codebook, torch.randn(9, 2))
    assert torch.equal(codebook.codes, placed)


def test_more_codes_than_vectors_get_all_of_them_a_little_apart():
    codebook, vectors = Codebook(7, 2), torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    CodebookLearner(7, 2).initialize(codebook, vectors)
    nearest = torch.cdist(codebook.codes, vectors).min(dim=1).values
    assert nearest.max() < 1
    assert len({tuple(code) for code in codebook.codes.tolist()}) == 7


def test_a_code_moves_to_the_moving_average_of_the_vectors_that_chose_it():
    codebook = codebook_of([[0.0, 0.0], [8.0, 8.0]])
    learner = settled_learner(codebook, count=2.0, decay=0.75)
    vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 2.0], [8.0, 6.0]])
    learner.update(codebook, vectors, torch.tensor([0, 0, 0, 1]))
    # counts: 3/4 of 2 + 1/4 of 3 and of 1; sums: 3/4 of the old + 1/4 of the new
    assert learner.counts.tolist() == [2.25, 1.75]
    torch.testing.assert_close(learner.sums, torch.tensor([[1.5, 0.5], [14.0, 13.5]]))
    torch.testing.assert_close(
        codebook.codes, torch.tensor([[1.5 / 2.25, 0.5 / 2.25], [14 / 1.75, 13.5 / 1.75]])
    )


def test_the_first_averages_are_short():
    codebook = codebook_of([[0.0], [9.0]])
    learner = settled_learner(codebook, count=2.0, decay=0.99)
    learner.steps.zero_()
    learner.update(codebook, torch.tensor([[1.0], [8.0]]), torch.tensor([0, 1]))
    assert learner.counts.tolist() == pytest.approx([0.1 * 2 + 0.9 * 1] * 2)
    assert learner.steps.item() == 1


def test_a_code_that_nothing_chooses_dies_and_wakes_up_on_a_vector_of_the_batch():
    codebook = codebook_of([[0.0, 0.0], [64.0, 64.0]])
    learner = settled_learner(codebook, count=2.0, decay=0.9)
    vectors, chosen = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)
    revived, steps = 0.0, 0
    while not revived:
        figures = learner.update(codebook, vectors, chosen)
        revived, steps = figures["codes_revived"].item(), steps + 1
    # 2 * 0.9 ** n falls below 5 % of the mean use of 2 after 29 steps
    assert steps == 29
    assert figures["codes_revived"].item() == 1
    assert codebook.codes[1].tolist() in vectors.tolist()
    assert learner.counts[1].item() == pytest.approx(REVIVED_SHARE * 2)


def test_a_revived_code_is_left_alone_for_a_while():
    codebook = codebook_of([[0.0, 0.0], [50.0, 50.0]])
    learner = settled_learner(codebook, count=2.0, decay=0.9)
    learner.counts[1] = 0.0
    vectors, chosen = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)
    learner.update(codebook, vectors, chosen)
    place = codebook.codes[1].clone()
    for _ in range(5):
        assert learner.update(codebook, vectors, chosen)["codes_revived"].item() == 0
    torch.testing.assert_close(codebook.codes[1], place)
    assert REVIVED_SHARE > 2 * DEAD_SHARE


def test_perplexity_counts_codes_used_alike():
    assert perplexity(torch.tensor([3.0, 3.0, 3.0, 0.0])).item() == pytest.approx(3)
    assert perplexity(torch.tensor([5.0, 0.0])).item() == pytest.approx(1)


def test_rows_come_in_the_order_of_flattened_codes():
    vectors = torch.arange(12.0).view(2, 2, 3)
    codebook = Codebook(4, 2)
    codes = codebook.encode(vectors)
    torch.testing.assert_close(codebook.codes[codes.flatten()], rows_of(codebook.decode(codes)))
    assert rows_of(vectors)[1].tolist() == [1.0, 4.0]
