import math
from itertools import accumulate

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from jukebox_core.sampling.sampler import RowSampling, draw, filter_logits
from jukebox_core.song import SamplingParams

JUST_BELOW_ONE = math.nextafter(1.0, 0.0)
PLAIN = SamplingParams(temperature=1.0)

numbers = st.one_of(
    st.floats(0.0, 1.0, exclude_max=True), st.sampled_from([0.0, 0.5, JUST_BELOW_ONE])
)
settings_of_a_row = st.builds(
    SamplingParams,
    temperature=st.floats(0.05, 5.0),
    top_k=st.one_of(st.just(0), st.integers(0, 12)),
    top_p=st.one_of(st.just(0.0), st.floats(0.0, 1.0)),
)


@st.composite
def batches(draw_from, max_rows=4):
    """(logits [B, V], numbers [B], settings of B rows)"""
    num_rows, num_ids = draw_from(st.integers(1, max_rows)), draw_from(st.integers(1, 9))
    # Few distinct values, so that ids often tie.
    logit = st.one_of(st.integers(-8, 8).map(float), st.floats(-30.0, 30.0, width=32))
    logits = [[draw_from(logit) for _ in range(num_ids)] for _ in range(num_rows)]
    uniforms = [draw_from(numbers) for _ in range(num_rows)]
    params = [draw_from(settings_of_a_row) for _ in range(num_rows)]
    return logits, uniforms, params


def draw_rows(logits, uniforms, params):
    return draw(
        torch.tensor(logits, dtype=torch.float32),
        torch.tensor(uniforms, dtype=torch.float64),
        RowSampling.from_params(params),
    ).tolist()


def probabilities_of(logits):
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def kept_ids(logits, params):
    """The slow twin of the filters, and how near it came to a tie that rounding could turn."""
    tempered = [(logit - max(logits)) / params.temperature for logit in logits]
    likeliest_first = sorted(range(len(logits)), key=lambda id_: (-tempered[id_], id_))
    kept = likeliest_first
    if params.top_k:
        kth = tempered[likeliest_first[min(params.top_k, len(logits)) - 1]]
        kept = [id_ for id_ in kept if tempered[id_] >= kth]
    margin = 1.0
    if 0.0 < params.top_p < 1.0:
        before = [0.0, *accumulate(probabilities_of([tempered[id_] for id_ in kept]))]
        margin = min(abs(value - params.top_p) for value in before)
        kept = [id_ for id_, value in zip(kept, before, strict=False) if value <= params.top_p]
    return tempered, set(kept), margin


def draw_slowly(logits, uniform, params):
    tempered, kept, margin = kept_ids(logits, params)
    assume(margin > 1e-12)
    ids = sorted(kept)
    cumulative = list(accumulate(probabilities_of([tempered[id_] for id_ in ids])))
    assume(uniform == 0.0 or min(abs(value - uniform) for value in cumulative) > 1e-12)
    return next(id_ for id_, value in zip(ids, cumulative, strict=True) if value > uniform)


@given(batches())
def test_draws_equal_those_of_plain_python(batch):
    logits, uniforms, params = batch
    slow = [draw_slowly(*row) for row in zip(logits, uniforms, params, strict=True)]
    assert draw_rows(*batch) == slow


@given(batches())
def test_an_id_that_was_filtered_out_is_never_drawn(batch):
    logits, _, params = batch
    for uniform in (0.0, JUST_BELOW_ONE, batch[1][0]):
        drawn = draw_rows(logits, [uniform] * len(logits), params)
        for id_, row_logits, row_params in zip(drawn, logits, params, strict=True):
            _, kept, margin = kept_ids(row_logits, row_params)
            assume(margin > 1e-12)
            assert id_ in kept


@given(batches())
def test_a_row_does_not_depend_on_its_neighbors(batch):
    alone = [
        draw_rows([row_logits], [uniform], [row_params])[0]
        for row_logits, uniform, row_params in zip(*batch, strict=True)
    ]
    assert draw_rows(*batch) == alone


@given(batches())
def test_filters_only_ever_remove(batch):
    logits, _, params = batch
    before = torch.tensor(logits)
    after = filter_logits(before, RowSampling.from_params(params))
    removed = after == -torch.inf
    assert torch.equal(after[~removed], before[~removed])
    likeliest = before.argmax(dim=-1, keepdim=True)
    assert not removed.gather(-1, likeliest).any()


@pytest.mark.parametrize(
    ("uniform", "id_"), [(0.0, 1), (0.2499, 1), (0.25, 2), (0.4999, 2), (0.5, 4), (0.9999, 4)]
)
def test_the_first_id_whose_sum_exceeds_the_number_is_drawn(uniform, id_):
    probabilities = torch.tensor([0.0, 0.25, 0.25, 0.0, 0.5, 0.0])
    assert draw_rows([probabilities.log().tolist()], [uniform], [PLAIN]) == [id_]


def test_temperature_sharpens_and_flattens():
    logits = [0.0, math.log(3.0)]  # a quarter and three quarters
    cold, warm = SamplingParams(temperature=0.5), SamplingParams(temperature=2.0)
    number = 0.2  # between 1/10, 1/4 and 0.366
    assert draw_rows([logits] * 3, [number] * 3, [cold, PLAIN, warm]) == [1, 0, 0]
    assert draw_rows([logits] * 3, [0.3] * 3, [cold, PLAIN, warm]) == [1, 1, 0]


@pytest.mark.parametrize("temperature", [1e-300, 5e-324, 1e300])
def test_extreme_temperatures_make_no_nonsense(temperature):
    params = SamplingParams(temperature=temperature)
    coldest = temperature < 1.0
    assert draw_rows([[1.0, 30.0, -30.0, 29.0]], [0.6], [params]) == [1 if coldest else 2]


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, "b"), (2, "bd"), (3, "abd"), (4, "abcd"), (9, "abcd")]
)
def test_top_k_keeps_the_k_likeliest(top_k, kept):
    assert _kept("abcd", [1.0, 3.0, 0.0, 2.0], SamplingParams(top_k=top_k)) == kept


def test_top_k_keeps_all_that_tie_with_the_last():
    assert _kept("abcd", [1.0, 3.0, 1.0, 1.0], SamplingParams(top_k=2)) == "abcd"


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (1e-9, "c"),
        (0.49, "c"),
        (0.51, "cb"),
        (0.74, "cb"),
        (0.76, "cba"),
        (0.99, "cbad"),
        (1.0, "cbad"),
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p, kept):
    logits = torch.tensor([0.125, 0.25, 0.5, 0.125]).log().tolist()
    assert _kept("abcd", logits, SamplingParams(top_p=top_p)) == "".join(sorted(kept))


def test_top_p_keeps_one_more_when_the_sum_is_exactly_p():
    """The original removes what comes after the sum has exceeded p; a half does not exceed it."""
    assert _kept("abcd", [0.0, 0.0, 0.0, 0.0], SamplingParams(top_p=0.5)) == "abc"


def test_top_p_counts_only_what_top_k_has_kept():
    """The two that top-k keeps have 2/3 and 1/3, and the first alone exceeds 0.6."""
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().tolist()
    assert _kept("abcd", logits, SamplingParams(top_p=0.6)) == "ab"
    assert _kept("abcd", logits, SamplingParams(top_p=0.6, top_k=2)) == "a"


def _kept(names, logits, params):
    after = filter_logits(torch.tensor([logits]), RowSampling.from_params([params]))[0]
    return "".join(name for name, value in zip(names, after, strict=True) if value > -torch.inf)


def test_rows_with_and_without_filters_share_a_batch():
    params = [PLAIN, SamplingParams(temperature=1.0, top_k=1), SamplingParams(top_p=0.1)]
    logits = torch.tensor([[0.0, 0.5, 1.0]] * 3)
    after = filter_logits(logits, RowSampling.from_params(params))
    assert (after > -torch.inf).sum(dim=-1).tolist() == [3, 1, 1]


def test_without_filters_nothing_is_sorted_or_copied():
    logits = torch.randn(2, 5)
    rows = RowSampling.from_params([PLAIN, SamplingParams(top_p=1.0)])
    assert (rows.any_top_k, rows.any_top_p) == (False, False)
    assert filter_logits(logits, rows) is logits


@pytest.mark.parametrize("num_ids", [1, 2, 2048, 2127])
@pytest.mark.parametrize("seed", range(3))
def test_the_end_of_the_sum_never_leaves_the_vocabulary(num_ids, seed):
    """Sums of thousands of rounded probabilities may end a little below 1, or above."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(64, num_ids, generator=generator) * 8
    logits[:, num_ids // 2 + 1 :] = -torch.inf
    for number in (JUST_BELOW_ONE, 1.0 - 2.0**-24, 0.0):
        uniforms = torch.full((64,), number, dtype=torch.float64)
        ids = draw(logits, uniforms, RowSampling.from_params([PLAIN] * 64))
        assert ids.dtype == torch.int64
        assert torch.isfinite(logits.gather(-1, ids.unsqueeze(-1))).all()


def test_a_sum_that_ends_below_the_number_draws_the_last_possible_id(monkeypatch):
    """Provoked: every sum is shortened, as a less exact sum might be."""
    exact_sum = torch.Tensor.cumsum
    monkeypatch.setattr(torch.Tensor, "cumsum", lambda self, dim: exact_sum(self, dim) * 0.9)
    logits = torch.tensor([[0.0, 0.0, 0.0, -torch.inf]])
    number = torch.tensor([0.95], dtype=torch.float64)
    assert draw(logits, number, RowSampling.from_params([PLAIN])).tolist() == [2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_of_any_precision_are_drawn_alike(dtype):
    logits = torch.tensor([[1.0, 2.0, 3.0]], dtype=dtype)
    number = torch.tensor([0.3], dtype=torch.float64)
    rows = RowSampling.from_params([SamplingParams(temperature=1.0, top_k=2, top_p=0.9)])
    assert draw(logits, number, rows).tolist() == [2]


def test_drawn_ids_follow_the_distribution():
    """One number from each of 4096 equal steps: counts may be off by one step at each border."""
    logits = torch.tensor([0.3, 0.05, 0.4, 0.25]).log().expand(4096, 4)
    uniforms = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    ids = draw(logits, uniforms, RowSampling.from_params([PLAIN] * 4096))
    for id_, probability in enumerate((0.3, 0.05, 0.4, 0.25)):
        assert abs((ids == id_).sum().item() - 4096 * probability) <= 1
    assert (ids.diff() >= 0).all()
