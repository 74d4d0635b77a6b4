import io

from rich.console import Console

from cli.figures import end_line, figures_table, total_line
from cli.progress import LevelState, LiveLevels, PlainLevels, level_display, states_of_job
from tests.fixtures.scripted_service import a_job, output


def plain_console():
    return Console(file=io.StringIO(), width=100)


def text_of(console):
    return console.file.getvalue()


def state(done, **changes):
    return LevelState(level="top", tokens_done=done, tokens_total=100, **changes)


def test_a_pipe_gets_lines_and_a_terminal_gets_bars():
    assert isinstance(level_display(plain_console()), PlainLevels)
    terminal = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(level_display(terminal), LiveLevels)


def test_lines_come_once_a_quarter_and_at_the_end():
    console = plain_console()
    with PlainLevels(console) as display:
        for done in range(101):
            display.show([state(done)])
        display.show([state(100)])
    shown = [line.split()[1] for line in text_of(console).splitlines()]
    assert shown == ["25", "50", "75", "100"]


def test_a_line_names_window_and_rate():
    console = plain_console()
    display = PlainLevels(console)
    display.show([state(30, windows_done=1, windows_total=4, tokens_per_second=1234.5)])
    assert text_of(console) == "top    30 of 100 tokens, window 2/4, 1,234 tokens/s\n"


def test_bars_show_every_level_with_its_counts():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with LiveLevels(console) as display:
        display.show(states_of_job(a_job()))
        display.show([state(100, windows_done=2, windows_total=2, tokens_per_second=50.0)])
        display.say("hello")
    text = text_of(console)
    assert "100/100" in text
    assert "window 2/2" in text
    assert "50 tokens/s" in text
    assert "middle" in text
    assert "hello" in text


def test_figures_name_levels_and_the_real_time_factor():
    done = a_job(
        "succeeded",
        started_at="2026-01-01T00:00:00Z",
        completed_at="2026-01-01T00:00:03Z",
        metrics={
            "queue_seconds": 0.5,
            "levels": {"top": {"seconds": 1.0, "tokens_per_second": 100.0}},
        },
        outputs=[output(b"")],
    )
    console = plain_console()
    console.print(figures_table(done))
    assert "top" in text_of(console)
    assert "middle" not in text_of(console)
    assert total_line(done) == (
        "2.00 s of sound in 3.00 s after 0.50 s in the queue: real-time factor 1.50 "
        "(seconds of work per second of sound)"
    )


def test_the_end_of_a_failed_job_says_why_and_whether_to_try_again():
    failed = a_job("failed", error={"code": "oom", "message": "No memory.", "retryable": True})
    assert end_line(failed) == (
        "job job_1 failed (oom): No memory. `jukebox retry job_1` tries again."
    )
    assert end_line(a_job("canceled")) == "job job_1: canceled"
