"""What a person sees of files on their way."""

import io

from rich.console import Console

from cli.service.transfer import transfer_display

MB = 1_000_000


def seen(*, is_terminal, bars=True):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100, highlight=False)
    with transfer_display(console, bars=bars) as display:
        for done in range(0, 101):
            display.show("weights", done * MB, 100 * MB)
        display.show("weights", 100 * MB, 100 * MB)
        display.show("tiny list", 10, 10)
        display.show("unknown size", 10, None)
        display.part("prior_top.safetensors")
    return screen.getvalue()


def test_a_log_gets_a_line_for_every_tenth_of_a_large_file():
    lines = seen(is_terminal=False).splitlines()
    wanted = [f"weights: {done} of 100 MB" for done in range(0, 101, 10)]
    assert lines == [*wanted, "writing prior_top.safetensors"]


def test_a_terminal_gets_bars():
    screen = seen(is_terminal=True)
    assert "100.0/100.0 MB" in screen
    assert "writing prior_top.safetensors" in screen


def test_a_terminal_on_which_somebody_else_draws_gets_lines():
    assert "weights: 50 of 100 MB" in seen(is_terminal=True, bars=False)
