"""The limits of a machine are measured; the cost of a kernel boundary is a slope."""

import pytest
import torch

from bench import gpu, machine, start
from bench.serve import __main__ as serve
from tests.backends.tape import TapeCapturer
from tests.bench.last_line import last_line


def test_the_limits_of_this_machine_are_told():
    found = last_line(machine.main, "--threads", 1)
    assert found["machine"] == machine.cpu_name()
    assert (found["device"], found["threads"]) == ("cpu", 1)
    assert found["memory_bytes_per_sec"] > 1e8 < found["flop_per_sec"]
    assert found["replayed_kernel_us"] is None  # a CPU has no graphs


def test_launched_and_replayed_kernels_are_measured_where_there_are_graphs():
    capturer = TapeCapturer()
    found = machine.boundary_cost(torch.device("cpu"), capturer, (5, 50))
    assert None not in found.values()
    assert capturer.num_captures == 2
    assert capturer.num_operations == 50


@pytest.mark.parametrize("measurement", [gpu, serve, start])
def test_a_part_that_there_is_not_is_refused_with_those_there_are(measurement, capsys):
    with pytest.raises(SystemExit):
        measurement.main(["everything"])
    assert "'everything' is none of" in capsys.readouterr().err
