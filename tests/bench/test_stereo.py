"""What stereo costs and what is left of it in mono: the measurement runs and says both."""

from bench import stereo
from tests.bench.last_line import last_line


def test_the_mean_of_two_channels_lies_between_the_same_and_strangers():
    told = last_line(stereo.main, "--songs", 1, "--seconds", 3)
    assert told["model"] == "mini"
    assert -3.5 < told["mono_db"] < -0.1
    assert -0.5 < told["correlation"] < 0.99
    assert told["cost"] > 0.5
