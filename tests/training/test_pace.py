"""How long a step takes is measured, and with how many threads it takes least."""

import pytest
import torch

from jukebox_core.training.pace import fitting_steps, measure_pace
from tests.training.test_loop import Line, settings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Clock:
    """Time that only passes in steps, so much as `cost` says for the threads that there are."""

    def __init__(self, cost):
        self.now, self.cost, self.tried = 0.0, cost, []

    def __call__(self):
        return self.now

    def step(self):
        threads = torch.get_num_threads()
        if threads not in self.tried:
            self.tried.append(threads)
            self.now += 100.0  # the first step of a number allocates and is not counted
        self.now += self.cost[threads]


class TimedLine(Line):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def loss(self, batch):
        self.clock.step()
        return super().loss(batch)


def measured(cost, *, probe=None, max_threads=8, **changes):
    clock = Clock(cost)
    pace = measure_pace(
        TimedLine(clock),
        settings(**changes),
        CPU,
        max_threads=max_threads,
        clock=clock,
        probe=(lambda threads: 1.0 / threads) if probe is None else probe,
    )
    return pace, clock.tried


@pytest.mark.parametrize(
    ("cost", "threads", "tried"),
    [
        ({1: 1.0, 2: 3.0}, 1, [1, 2]),
        ({1: 1.0, 2: 0.95}, 1, [1, 2]),
        ({1: 1.0, 2: 0.6, 4: 0.7}, 2, [1, 2, 4]),
        ({1: 1.0, 2: 0.6, 4: 0.4, 6: 0.3}, 6, [1, 2, 4, 6]),
    ],
)
def test_the_fastest_number_is_taken_and_no_more_are_tried_than_help(cost, threads, tried):
    pace, found = measured(cost, max_threads=6)
    assert (pace.threads, pace.sec_per_step) == (threads, pytest.approx(cost[threads]))
    assert found == tried
    assert torch.get_num_threads() == threads


def test_threads_that_wait_for_each_other_in_small_operations_are_not_tried_on_a_step():
    pace, tried = measured({1: 1.0}, probe={1: 1.0, 2: 40.0}.__getitem__)
    assert (pace.threads, tried) == (1, [1])


def test_one_core_or_a_number_that_was_given_leave_nothing_to_choose():
    assert measured({1: 1.0}, max_threads=1)[1] == [1]
    pace, tried = measured({3: 2.0}, threads=3)
    assert (pace.threads, pace.sec_per_step, tried) == (3, pytest.approx(2.0), [3])


def test_a_step_of_several_batches_counts_them_all():
    assert measured({1: 1.0}, max_threads=1, accumulate=3)[0].sec_per_step == pytest.approx(3.0)


def test_a_real_step_is_measured_with_a_real_clock():
    pace = measure_pace(Line(), settings(), CPU, max_threads=2)
    assert pace.threads in (1, 2)
    assert 0 < pace.sec_per_step < 60


def test_steps_fit_into_the_time_between_two_bounds():
    pace, _ = measured({1: 0.5}, max_threads=1)
    assert fitting_steps(pace, 60.0, least=10, most=1000) == 120
    assert fitting_steps(pace, 60.0, least=10, most=100) == 100
    assert fitting_steps(pace, 1.0, least=10, most=100) == 10
