"""The draw in C falls on the same ids as the draw in torch."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jukebox_core.backends.native.library import native_library
from jukebox_core.backends.native.structures import NativeRow
from jukebox_core.sampling.sampler import RowSampling, _tempered, draw, filter_logits
from jukebox_core.song import SamplingParams

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

PLAIN = SamplingParams()
BELOW_ONE = 1.0 - 2.0**-53


def draw_natively(logits: Tensor, uniforms: Tensor, params: list[SamplingParams]) -> Tensor:
    rows = (NativeRow * len(params))(*(NativeRow.of(0, 0, each) for each in params))
    ids = torch.empty(len(params), dtype=torch.int64)
    is_done = native_library().draw_ids(
        *(logits.data_ptr(), logits.shape[1], rows),
        *(uniforms.data_ptr(), len(params), ids.data_ptr()),
    )
    assert is_done
    return ids


def assert_same(logits: Tensor, uniforms: Tensor, params: list[SamplingParams]) -> None:
    wanted = draw(logits, uniforms, RowSampling.from_params(params))
    assert torch.equal(draw_natively(logits, uniforms, params), wanted)


def some_uniforms(num_rows: int, generator: torch.Generator) -> Tensor:
    """Any numbers, with the smallest among them."""
    uniforms = torch.rand(num_rows, dtype=torch.float64, generator=generator)
    uniforms[::7] = 0.0
    return uniforms


FILTERS = {
    "none": SamplingParams(),
    "cold": SamplingParams(temperature=0.2),
    "frozen": SamplingParams(temperature=1e-30),
    "hot": SamplingParams(temperature=1e6),
    "top 1": SamplingParams(top_k=1),
    "top 40": SamplingParams(top_k=40, temperature=1.3),
    "more than there are": SamplingParams(top_k=10_000),
    "p 1e-9": SamplingParams(top_p=1e-9),
    "p 0.5": SamplingParams(top_p=0.5),
    "p 0.99": SamplingParams(top_p=0.99, temperature=2.0),
    "p 1": SamplingParams(top_p=1.0),
    "both": SamplingParams(top_k=30, top_p=0.8),
}


@pytest.mark.parametrize("num_ids", [5, 64, 1024, 2127])
@pytest.mark.parametrize("params", FILTERS.values(), ids=FILTERS)
def test_random_logits_give_the_same_ids(params, num_ids):
    generator = torch.Generator().manual_seed(num_ids)
    logits = 4.0 * torch.randn(400, num_ids, generator=generator)
    assert_same(logits, some_uniforms(400, generator), [params] * 400)


@pytest.mark.parametrize("params", FILTERS.values(), ids=FILTERS)
def test_ids_that_tie_stay_or_go_together_as_in_torch(params):
    """Few different logits, so that sums of equal numbers meet the limits exactly."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randint(-2, 3, (400, 16), generator=generator).float()
    uniforms = torch.randint(0, 16, (400,), generator=generator).double() / 16
    assert_same(logits, uniforms, [params] * 400)


@pytest.mark.parametrize("params", FILTERS.values(), ids=FILTERS)
def test_ids_that_are_ruled_out_are_never_drawn(params):
    generator = torch.Generator().manual_seed(2)
    logits = 3.0 * torch.randn(300, 200, generator=generator)
    logits[torch.rand(300, 200, generator=generator) < 0.7] = -torch.inf
    logits[::3] = -torch.inf
    logits[::3, 17] = -1e30
    uniforms = some_uniforms(300, generator)
    assert_same(logits, uniforms, [params] * 300)
    ids = draw_natively(logits, uniforms, [params] * 300)
    assert logits.gather(1, ids[:, None]).isfinite().all()
    assert (ids[::3] == 17).all()


def test_chances_below_the_normal_numbers_count_as_in_torch():
    """exp(-740) is 4e-322; as the first id it is drawn where the number is 0."""
    logits = torch.tensor([[-740.0, 0.0, -800.0], [-800.0, 0.0, 0.0], [-708.5, -745.2, 0.0]])
    hot = [SamplingParams(temperature=1.0)] * 3
    for number in (0.0, 1e-323, 0.5):
        assert_same(logits, torch.full((3,), number, dtype=torch.float64), hot)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-100.0, 100.0, width=32), min_size=1, max_size=40),
    st.floats(0.0, 0.999),
    st.floats(1e-3, 1e3),
    st.integers(0, 45),
    st.floats(0.0, 1.0),
)
def test_any_row_gives_the_same_id(logits, uniform, temperature, top_k, top_p):
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
    assert_same(torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64), [params])


@pytest.mark.parametrize("params", FILTERS.values(), ids=FILTERS)
def test_the_largest_number_falls_on_the_end_and_on_no_id_that_cannot_be(params):
    """On which of the last ids is a matter of rounding, when their chances are as small as that."""
    generator = torch.Generator().manual_seed(4)
    logits = 4.0 * torch.randn(200, 300, generator=generator)
    logits[:, ::3] = -torch.inf
    uniforms = torch.full((200,), BELOW_ONE, dtype=torch.float64)
    ids = draw_natively(logits, uniforms, [params] * 200)
    rows = RowSampling.from_params([params] * 200)
    chances = filter_logits(_tempered(logits, rows), rows).softmax(dim=-1)
    assert (chances.gather(1, ids[:, None]) > 0).all()
    behind = torch.arange(300) > ids[:, None]
    assert chances.masked_fill(~behind, 0.0).sum(dim=1).max() < 1e-12


def test_every_row_has_its_own_settings():
    generator = torch.Generator().manual_seed(3)
    logits = 2.0 * torch.randn(len(FILTERS), 300, generator=generator)
    assert_same(logits, some_uniforms(len(FILTERS), generator), list(FILTERS.values()))


@pytest.mark.parametrize("number", [0.0, 0.5])
def test_logits_that_are_no_numbers_give_an_id_that_exists(number):
    logits = torch.full((1, 50), torch.nan)
    uniforms = torch.tensor([number], dtype=torch.float64)
    for params in FILTERS.values():
        assert 0 <= draw_natively(logits, uniforms, [params]).item() < 50
