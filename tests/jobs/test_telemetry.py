"""Log lines that machines read, and that give nothing away."""

import io
import json
import logging
from pathlib import Path

import pytest

from jobs.logs import JsonFormatter, TextFormatter, configure_logging, redact

LYRICS = "Hello, hello, is anybody there?"


@pytest.fixture(params=["json", "text"])
def logged(request):
    """A logger and a function that gives what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if request.param == "json" else TextFormatter())
    log = logging.Logger("test")  # noqa: LOG001  (not in the tree of loggers: nothing to undo)
    log.addHandler(handler)
    return log, stream.getvalue


@pytest.fixture
def json_line():
    """A function that gives the JSON object of one record."""

    def line(level=logging.INFO, message="window done", *args, exc_info=None, **extra):
        log = logging.Logger("worker")  # noqa: LOG001
        record = log.makeRecord(
            "worker", level, __file__, 1, message, args, exc_info, extra=extra or None
        )
        return json.loads(JsonFormatter().format(record))

    return line


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield root
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_a_json_line_has_the_extras_as_fields(json_line):
    line = json_line(job_id="job_1", stage="top", tokens=64, levels=["top"])
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "worker",
        "message": "window done",
        "job_id": "job_1",
        "stage": "top",
        "tokens": 64,
        "levels": ["top"],
    }


def test_a_message_with_line_breaks_stays_one_line():
    record = logging.makeLogRecord({"msg": "one\ntwo", "levelname": "INFO"})
    assert "\n" not in JsonFormatter().format(record)


def test_what_json_does_not_know_is_written_as_text(json_line):
    assert json_line(path=Path("a"), error=ValueError("redis://:secret@h"))["path"] == "a"
    assert json_line(error=ValueError("redis://:secret@h"))["error"] == "redis://:[hidden]@h"


def test_a_traceback_is_in_the_line(json_line):
    try:
        raise ValueError("cannot reach redis://:secret@redis:6379/0")
    except ValueError as error:
        line = json_line(exc_info=(ValueError, error, error.__traceback__))
    assert "ValueError: cannot reach redis://:[hidden]@redis:6379/0" in line["traceback"]


def test_neither_lyrics_nor_passwords_are_written(logged):
    log, written = logged
    log.warning("cannot reach %s", "redis://:secret@redis:6379/0", extra={"lyrics": LYRICS})
    log.warning("x", extra={"request": {"lyrics": LYRICS}, "job": {"input": {"lyrics": LYRICS}}})
    log.warning("x", extra={"url": "rediss://me:secret@redis", "urls": ["redis://:secret@redis"]})
    assert "[hidden]" in written()
    assert "secret" not in written()
    assert LYRICS not in written()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:pa/ss@redis/0", "redis://:[hidden]@redis/0"),
        ("unix://me:secret@/data/r.sock", "unix://me:[hidden]@/data/r.sock"),
        ("redis+socket://:secret@/r.sock", "redis+socket://:[hidden]@/r.sock"),
        ("at http://localhost:8000/jobs", "at http://localhost:8000/jobs"),
        ("redis://redis:6379/0 by me@home", "redis://redis:6379/0 by me@home"),
        ("no url: at all @ home", "no url: at all @ home"),
    ],
)
def test_only_passwords_are_hidden(text, shown):
    assert redact(text) == shown


def test_configuring_twice_writes_each_line_once(root_logger, capsys):
    configure_logging("json", "info")
    configure_logging("text", "warning")
    logging.getLogger("worker").info("not shown")
    logging.getLogger("worker").warning("shown", extra={"job_id": "job_1"})
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip().endswith("warning shown job_id=job_1")
    assert len(err.splitlines()) == 1


def test_an_unknown_level_is_refused(root_logger):
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("json", "loud")
