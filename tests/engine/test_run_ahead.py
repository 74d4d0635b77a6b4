"""The host runs ahead of the device, and not too far; what turns take is the device's time."""

import pytest
import torch

from jukebox_core.engine import Engine
from jukebox_core.engine.run_ahead import MAX_TURNS, RunAhead
from jukebox_core.engine.turn_length import Pace
from jukebox_core.units import Level
from tests.engine.windows import Draw, golden_priors, run_to_end


class Device:
    """Takes `step_sec` for each token that is put in line; time passes when it is waited for."""

    def __init__(self, step_sec=0.0):
        self.step_sec, self.now_sec, self.free_sec = step_sec, 0.0, 0.0
        self.in_line = self.most = 0

    def clock(self):
        return self.now_sec

    def draw(self, num_steps):
        self.free_sec = max(self.free_sec, self.now_sec) + num_steps * self.step_sec

    def mark(self):
        self.in_line += 1
        self.most = max(self.most, self.in_line)
        return Place(self, self.free_sec)


class Place:
    def __init__(self, device, end_sec):
        self.device, self.end_sec = device, end_sec

    def synchronize(self):
        self.device.in_line -= 1
        self.device.now_sec = max(self.device.now_sec, self.end_sec)


@pytest.mark.parametrize("max_turns", [1, 2, 5])
def test_no_more_turns_are_in_line_than_allowed_and_the_device_is_never_waited_out(max_turns):
    device = Device()
    run_ahead = RunAhead(device.mark, max_turns=max_turns)
    for turn in range(20):
        run_ahead.wait()
        run_ahead.turn_ended(Level.TOP, 1)
        assert device.in_line == min(turn + 1, max_turns)


def test_a_turn_takes_what_the_device_took_for_it_and_not_the_turns_before_it():
    device = Device(step_sec=0.25)
    run_ahead, ended = RunAhead(device.mark, clock=device.clock), []
    for num_steps in (1, 4, 2, 8, 1, 1):
        ended += run_ahead.wait()
        device.draw(num_steps)
        run_ahead.turn_ended(Level.TOP, num_steps)
    assert [(turn.num_steps, turn.seconds) for turn in ended] == [
        (1, 0.25),
        (4, 1.0),
        (2, 0.5),
        (8, 2.0),
    ]


def test_a_pause_is_nobodys_time():
    device = Device(step_sec=0.25)
    run_ahead = RunAhead(device.mark, max_turns=1, clock=device.clock)
    seconds = []
    for _ in range(3):
        seconds += [turn.seconds for turn in run_ahead.wait()]
        device.now_sec += 60.0  # nothing to do
        assert run_ahead.wait() == []
        device.draw(2)
        run_ahead.turn_ended(Level.TOP, 2)
    assert seconds == [0.5, 0.5]


def test_the_pace_settles_although_what_it_learns_is_two_turns_old():
    device, pace, taken = Device(step_sec=0.00135), Pace(turn_sec=0.015), []
    run_ahead = RunAhead(device.mark, clock=device.clock)
    for _ in range(40):
        for turn in run_ahead.wait():
            pace.record(turn.num_steps, turn.seconds)
        taken.append(pace.num_steps)
        device.draw(pace.num_steps)
        run_ahead.turn_ended(Level.TOP, pace.num_steps)
    assert set(taken[20:]) == {11}


def test_an_engine_waits_for_the_turn_before_the_last_and_never_for_a_token():
    device = Device()
    engine = Engine(golden_priors("prior_5b"), max_rows=2, run_ahead=RunAhead(device.mark))
    for number in range(3):
        engine.submit(Draw("prior_5b", Level.TOP, num_new=20, seed=number).sequence(f"{number}"))
    run_to_end(engine)
    assert device.most == device.in_line == MAX_TURNS


def test_a_fault_of_the_device_that_shows_while_it_is_waited_for_ends_the_song():
    class Broken:
        def synchronize(self):
            raise torch.AcceleratorError("the device is gone")

    run_ahead = RunAhead(Broken, max_turns=1)
    engine = Engine(golden_priors("prior_5b"), max_rows=2, run_ahead=run_ahead)
    engine.submit(Draw("prior_5b", Level.TOP, num_new=9).sequence("mine"))
    results = run_to_end(engine)
    assert isinstance(results["mine"], torch.AcceleratorError)
    assert not engine.has_work
