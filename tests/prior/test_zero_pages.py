"""Memory of a cache is taken when a window fills it, and given back when the window has ended."""

import sys
from pathlib import Path

import pytest
import torch

from jukebox_core.backends.batch import SlotMemory
from jukebox_core.engine import Engine
from jukebox_core.prior.zero_pages import ZeroPages
from jukebox_core.units import Level
from tests.engine.windows import TOP_PRIORS, Draw, run_to_end
from tests.prior.golden import golden_prior

CPU = torch.device("cpu")
MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pages of Linux")


def resident_bytes() -> int:
    """Of this process, as the kernel counts it for the whole of each mapping."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def test_rows_take_memory_when_they_are_written_and_give_it_back():
    before = resident_bytes()
    pages = ZeroPages((1024, 8, MIB // 4), device=CPU, dtype=torch.float32)  # 8 GiB
    assert resident_bytes() - before < MIB
    assert not pages.tensor[700, 3, ::5000].any(), "reading takes nothing either"
    assert resident_bytes() - before < MIB
    pages.tensor[700] = 1.0
    pages.tensor[3, 0] = 1.0
    assert 9 * MIB <= resident_bytes() - before < 11 * MIB
    pages.release(torch.tensor([700, 2]))
    assert resident_bytes() - before < 3 * MIB
    assert pages.tensor[3, 0].all()


@pytest.mark.parametrize("row", [(3,), (700,), (1024,), (1025, 3), (4096, 5)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_cleared_row_is_zeros_and_its_neighbors_are_as_they_were(row, dtype):
    pages = ZeroPages((7, *row), device=CPU, dtype=dtype)
    pages.tensor.fill_(1.5)
    pages.clear(torch.tensor([5, 2]))
    assert pages.tensor.flatten(1).any(1).tolist() == [True, True, False, True, True, False, True]
    assert (pages.tensor[[0, 1, 3, 4, 6]] == 1.5).all()


def test_a_window_that_has_ended_leaves_nothing_in_its_slot():
    draw = Draw(TOP_PRIORS[0], Level.TOP)
    engine = Engine({Level.TOP: draw.prior}, max_rows=3)
    engine.submit(draw.sequence("one"))
    run_to_end(engine)
    memory = engine._runners[Level.TOP].memory
    buffers = (*memory.cache.layers, memory.cache.position_embedding, memory.ids, memory.uniforms)
    assert not any(buffer.any() for buffer in buffers)


def test_slots_take_no_memory_before_their_windows_begin():
    prior = golden_prior("prior_5b")
    before = resident_bytes()
    memory = SlotMemory(prior, 100_000, CPU)
    assert memory.cache.num_bytes > 2**30
    assert resident_bytes() - before < 2 * MIB
