"""The host runs ahead of the device, and not too far."""

import itertools

import pytest

from jukebox_core.engine import Engine
from jukebox_core.engine.run_ahead import MAX_TURNS, RunAhead
from jukebox_core.units import Level
from tests.engine.windows import Draw, golden_priors, run_to_end


class Line:
    """The line of work of a device that does nothing until it is waited for."""

    def __init__(self):
        self.num_turns, self.done, self.most = 0, 0, 0

    def mark(self):
        self.num_turns += 1
        self.most = max(self.most, self.num_turns - self.done)
        return Place(self, self.num_turns)


class Place:
    def __init__(self, line, turn):
        self.line, self.turn = line, turn

    def synchronize(self):
        self.line.done = max(self.line.done, self.turn)


@pytest.mark.parametrize("max_turns", [1, 2, 5])
def test_no_more_turns_are_in_line_than_allowed(max_turns):
    line = Line()
    run_ahead = RunAhead(line.mark, max_turns=max_turns)
    for turn in range(20):
        run_ahead.wait()
        run_ahead.turn_ended()
        # Only as far as needed: the device is never waited out.
        assert line.num_turns - line.done == min(turn + 1, max_turns)


def test_an_engine_waits_for_the_turn_before_the_last_and_never_for_a_token():
    line, priors = Line(), golden_priors("prior_5b")
    engine = Engine(priors, max_rows=2, run_ahead=RunAhead(line.mark))
    for number in itertools.count():
        engine.submit(Draw("prior_5b", Level.TOP, num_new=20, seed=number).sequence(f"{number}"))
        if number == 2:
            break
    run_to_end(engine)
    assert line.most == MAX_TURNS
    assert line.num_turns - line.done == MAX_TURNS
