"""An engine that captures its steps on tape, and windows that make it show what it can."""

from jukebox_core.engine import Engine
from jukebox_core.song import SamplingParams
from jukebox_core.units import Level
from tests.backends.tape import TapeCapturer
from tests.engine.windows import TOP_PRIORS, Draw

PRIORS = [(top, Level.TOP) for top in TOP_PRIORS] + [
    ("prior_5b", Level.MIDDLE),
    ("prior_5b", Level.BOTTOM),
]
FILTERS = [{}, {"top_k": 5}, {"top_p": 0.7}, {"top_k": 9, "top_p": 0.9, "temperature": 1.3}]


class GraphEngine(Engine):
    """An engine that captures on tape, and draws as many tokens in a turn as it may."""

    def __init__(self, priors, *, max_rows, capturer=TapeCapturer, **how):
        self.capturers = []
        super().__init__(
            priors, max_rows=max_rows, clock=lambda: 0.0, make_capturer=self._make, **how
        )
        self._capturer = capturer

    def _make(self):
        self.capturers.append(self._capturer())
        return self.capturers[-1]

    @property
    def num_captures(self):
        return sum(each.num_captures for each in self.capturers)

    @property
    def num_replays(self):
        return sum(each.num_replays for each in self.capturers)


def draws_of(top, level, num=5, **how):
    """Windows that stand at different places and end at different times, with filters or not."""
    return {
        f"{level.label} {n}": Draw(
            top,
            level,
            num_prefix=(0, 40, 9, 7, 1)[n % 5],
            num_new=(35, 24, 23, 3, 18)[n % 5],
            seed=n,
            params=SamplingParams(**FILTERS[n % len(FILTERS)]),
            **how,
        )
        for n in range(num)
    }


def submit(engine, draws, **how):
    for name, window in draws.items():
        sequence = window.sequence(name)
        for key, value in how.items():
            setattr(sequence, key, value)
        engine.submit(sequence)


def alone(draws):
    return {name: window.slowly() for name, window in draws.items()}
