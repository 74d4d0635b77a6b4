"""Lines about a run fit the width of the terminal and tell how long it takes."""

import io

import pytest
from rich.console import Console

from cli.terminal.training_display import TrainingDisplay, duration
from jukebox_core.training.progress import TrainingProgress

FIGURES = {
    name: 1234.5678 / number
    for number, name in enumerate(
        [
            *("commit", "l2", "linf", "multispectral", "log_magnitude", "vowel", "artist", "genre"),
            *("grad_norm", "codes_used", "perplexity", "codes_revived"),
        ],
        start=1,
    )
}


def progress(**changes):
    values = {
        "step": 1_200,
        "steps": 12_000,
        "loss": 3.14159,
        "metrics": FIGURES,
        "evaluation": {f"held_{name}": value for name, value in FIGURES.items()},
        "learning_rate": 1e-3,
        "tokens_per_sec": 6_000.0,
        "seconds_left": 4_000.0,
    }
    return TrainingProgress(**(values | changes))


def shown(width, use, *, terminal=False):
    stream = io.StringIO()
    console = Console(file=stream, width=width, soft_wrap=True, force_terminal=terminal)
    display = TrainingDisplay(console, 12_000)
    with display.shown():
        use(display)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_line_fits_and_begins_with_the_step_and_ends_with_the_time_left(width):
    first, *others = shown(width, lambda display: display.log_line(progress()))
    assert first.startswith(" 1,200/12,000  loss 3.142  perplexity 112")
    assert first.endswith("  1 h 7 min left")
    assert max(map(len, [first, *others])) <= width
    assert others[0].lstrip().startswith("held out: held commit 1,235, ")
    assert all(line.startswith(" " * 15) for line in others)
    assert "held codes revived 103" in others[-1]


def test_what_matters_most_is_shown_first():
    figures = {"lyric_bits": 1.0, "guide": 2.0, "attention_accuracy": 0.5, "bits_per_token": 6.5}
    (line,) = shown(100, lambda d: d.log_line(progress(metrics=figures, evaluation={})))
    assert line == (
        " 1,200/12,000  loss 3.142  bits per token 6.500  attention accuracy 0.500  1 h 7 min left"
    )


def test_without_a_terminal_the_time_left_is_said_now_and_then(monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 20.0, 20.0, 21.0])
    monkeypatch.setattr("cli.terminal.training_display.time.monotonic", lambda: next(clock))

    def steps(display):
        for done in range(4):
            display.step(done * 100)

    (line,) = shown(80, steps)
    assert line == "   200/12,000  about 20 min left"


def test_a_terminal_shows_a_bar():
    def steps(display):
        display.step(0)
        display.step(6_000)

    text = "\n".join(shown(80, steps, terminal=True))
    assert "6000/12000" in text
    assert "left" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
