"""What clients send reaches the log as text of one line, bounded and without secrets."""

import io
import json
import logging
import os
import secrets

import pytest

from cli.local.processes import ChildProcess
from jobs.files.assets import LocalAssets
from jobs.files.local_artifacts import LocalArtifacts
from jobs.files.private_folder import make_private_folder
from jobs.logs import HIDDEN, JsonFormatter, TextFormatter, configure_logging
from jobs.record.job import new_job_id


def logged(formatter, message, *args, name="api", **extra):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger(f"test.{name}.{secrets.token_hex(4)}")
    logger.propagate = False
    logger.addHandler(handler)
    for each in logging.getLogger(name).filters:
        logger.addFilter(each)
    logger.warning(message, *args, extra=extra)
    return stream.getvalue()


@pytest.fixture
def root_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\x1b[31mred\x1b[0m", "\x00", "\x9b31m", "\u2028", "\u202eabc"]
)
def test_a_line_stays_a_line_and_commands_no_terminal(formatter, text):
    line = logged(formatter, "asked for %s", text, path=text)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert not any(ord(character) in {0x1B, 0x9B, 0, 0x0D, 0x2028, 0x202E} for character in line)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_path_of_any_length_is_cut(formatter):
    line = logged(formatter, "asked for %s", "x" * 60_000, path="y" * 60_000)
    assert len(line) < 5_000
    assert "60,0" in line


@pytest.mark.parametrize(
    "text",
    [
        "GET /jobs?api_key=jbx_abc_SECRET&limit=3",
        "GET /jobs?limit=3&token=SECRET",
        "GET /jobs?Key=SECRET",
        "Authorization: Bearer jbx_0123_SECRET",
        "redis://:SECRET@host/0",
    ],
)
def test_no_secret_of_a_query_or_a_header_is_written_down(text):
    for formatter in (TextFormatter(), JsonFormatter()):
        line = logged(formatter, "%s", text, path=text)
        assert "SECRET" not in line
        assert HIDDEN in line


def test_an_extra_of_the_name_level_leaves_the_severity_alone():
    line = json.loads(logged(JsonFormatter(), "drawn", level="top", message_="x", time="noon"))
    assert (line["level"], line["level_"], line["time_"]) == ("warning", "top", "noon")


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("192.0.2.7:1234", "192.0.2.7:1234"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ('1.2.3.4" 200 forged:0', "an invalid address"),
        ("localhost:0", "an invalid address"),
        ("\x1b[2J:0", "an invalid address"),
    ],
)
def test_the_address_in_the_access_log_is_an_address(root_logging, client, shown):
    configure_logging("json")
    line = logged(
        JsonFormatter(),
        '%s - "%s %s HTTP/%s" %d',
        client,
        "GET",
        "/jobs",
        "1.1",
        200,
        name="uvicorn.access",
    )
    assert json.loads(line)["message"].startswith(f"{shown} - ")


def test_folders_of_jobs_and_assets_are_not_for_others_and_old_ones_are_mended(tmp_path):
    for make in (LocalArtifacts, LocalAssets):
        for mode in (None, 0o755):
            root = tmp_path / f"{make.__name__}{mode}"
            if mode is not None:
                root.mkdir()
                root.chmod(mode)
            if make is LocalArtifacts:
                with make(root).new_file(new_job_id(), "a") as path:
                    path.touch()
            else:
                with make(root).draft():
                    pass
            assert root.stat().st_mode & 0o007 == 0


def test_a_log_is_private_and_begun_anew_when_it_is_long(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("older\n")
    log.chmod(0o644)
    child = ChildProcess("a", ["sh", "-c", "echo begun; sleep 1000"], env=os.environ, log_path=log)
    try:
        while "begun" not in log.read_text():
            continue
        assert log.stat().st_mode & 0o077 == 0
        child.cap_log(max_bytes=1000)
        assert log.read_text() == "older\nbegun\n"
        child.cap_log(max_bytes=5)
        assert log.read_text() == ""
        older = log.with_name("a.log.1")
        assert older.read_text() == "older\nbegun\n"
        assert older.stat().st_mode & 0o077 == 0
    finally:
        child.ask_to_stop()
        child.wait_or_kill(0.0)


def test_a_folder_whose_mode_cannot_be_changed_stays_in_use(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)

    def refuse(self, mode):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.chmod", refuse)
    make_private_folder(tmp_path)
