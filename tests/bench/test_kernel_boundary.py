"""The cost of a kernel boundary is a slope, and says when there is nothing to measure."""

import torch

from bench.kernel_boundary import boundary_cost, kernel_boundary
from tests.backends.tape import TapeCapturer

CPU = torch.device("cpu")


def test_launched_and_replayed_kernels_are_measured_where_there_are_graphs():
    capturer = TapeCapturer()
    found = boundary_cost(CPU, capturer, few=5, many=50)
    assert set(found) == {"launched_us", "replayed_us"}
    assert capturer.num_captures == 2
    assert capturer.num_operations == 50


def test_a_cpu_has_no_graphs_and_the_figure_is_left_out_with_the_reason():
    found = kernel_boundary(CPU)
    assert found["replayed_us"] is None
    assert "no graphs" in found["left_out"]
