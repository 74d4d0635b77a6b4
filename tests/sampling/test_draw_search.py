"""On a CPU the draw searches the running sums; it finds what comparing all of them finds."""

import pytest
import torch

from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.song import SamplingParams


def compared(logits, uniforms):
    probabilities = (logits.double() - logits.amax(-1, keepdim=True)).softmax(-1)
    sums = probabilities.cumsum(-1).masked_fill(probabilities == 0.0, -1.0)
    reached = (sums > uniforms[:, None]) | (sums == sums.amax(-1, keepdim=True))
    return reached.to(torch.uint8).argmax(-1)


@pytest.mark.parametrize("num_ids", [2, 7, 2048])
@pytest.mark.parametrize("spread", [1.0, 30.0, 500.0])
def test_searching_the_sums_equals_comparing_them(num_ids, spread):
    generator = torch.Generator().manual_seed(num_ids)
    logits = spread * torch.randn(64, num_ids, generator=generator)
    # Ids that cannot be drawn, in front, at the end and between; one always can.
    logits[torch.rand(64, num_ids, generator=generator) < 0.4] = -torch.inf
    logits[:, num_ids // 2] = 0.0
    uniforms = torch.rand(64, dtype=torch.float64, generator=generator)
    uniforms[0], uniforms[1] = 0.0, 1.0 - 2.0**-53
    # Numbers that equal a sum exactly belong to the id behind it.
    sums = (logits.double() - logits.amax(-1, keepdim=True)).softmax(-1).cumsum(-1)
    uniforms[2:40] = sums[2:40, num_ids // 3].clamp(max=1.0 - 2.0**-53)
    rows = RowSampling.from_params([SamplingParams(temperature=1.0)] * 64)
    drawn = draw(logits, uniforms, rows)
    assert torch.equal(drawn, compared(logits, uniforms))
    assert logits.gather(-1, drawn[:, None]).isfinite().all()
