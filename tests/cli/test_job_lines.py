"""What jobs look like in terminals of any width, and the short ids that are shown there."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from datetime import date, datetime

import pytest
from rich.cells import cell_len

from cli.errors import CliError, UsageError
from cli.service.job_ids import short_ids
from tests.fixtures.scripted_service import job, json_answer, output, problem, script_a_song

UNKNOWN = problem(404, "job_not_found", "No job has this id.")
IDS = {name: f"job_{name * 8}{'0' * 24}" for name in "abcd"}
LYRICS = "Put a coin in the jukebox, pick a row,\nten more seconds and then we go."


def view(name, status="succeeded", parent=None, **wanted):
    view = job(
        status,
        id=IDS[name],
        parent_id=parent and IDS[parent],
        root_id=IDS["a"],
        created_at=f"2026-01-01T00:00:0{'abcd'.index(name)}Z",
        duration_seconds=120.5,
        outputs=[output(b"x", level="middle")] if status == "succeeded" else [],
    )
    view["progress"] |= {"value": 0.45}
    names = {"artist": "The Sawtooths", "genre": "slow waltz", "lyrics": LYRICS}
    return view | {"input": view["input"] | names | wanted}


@pytest.fixture
def jobs():
    return [
        view("d", "failed", "c", mode="upsample", sample=2, num_samples=16),
        view("c", "running", "b", artist="", genre="", lyrics=""),
        view("b", "canceling", "a", mode="continue", cut_seconds=6.5, sample=1),
        view("a", artist="Ünïcödé \x1b[31m日本語の長い名前", num_samples=3),
    ]


@pytest.fixture
def listed(service, jobs):
    service.on("GET", "/jobs", json_answer({"data": jobs, "has_more": False, "next_cursor": None}))
    for each in jobs:
        service.on("GET", f"/jobs/{each['id']}", json_answer(each))
    return jobs


def lines_at(run, monkeypatch, columns, *command):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run(*command).stdout.splitlines()
    assert max(cell_len(line) for line in lines) <= columns, lines
    assert not any("\x1b" in line for line in lines)
    return lines


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_list_has_a_line_for_each_job_at_any_width(run, monkeypatch, listed, columns):
    heading, *lines = lines_at(run, monkeypatch, columns, "list")
    assert heading.split()[:6] == ["job", "status", "takes", "level", "length", "title"]
    assert [line.split()[0] for line in lines] == ["d" * 8, "c" * 8, "b" * 8, "a" * 8]
    assert "failed" in lines[0]
    assert "running 45%" in lines[1]
    assert "The Saw" in lines[2]
    for value in ("succeeded", "3", "middle", "120.5 s", "Ünïcödé"):
        assert value in lines[3]


def test_a_pipe_gets_whole_ids_on_wide_lines(run, monkeypatch, listed):
    monkeypatch.delenv("COLUMNS", raising=False)
    _, *lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [each["id"] for each in listed]
    assert "The Sawtooths, slow waltz: Put a coin in the jukebox, pick a row," in lines[0]


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_a_terminal_gets_colors_unless_they_are_not_wanted(service, listed, tmp_path, setting):
    commands = [["list"], ["tree", IDS["a"]], ["show", IDS["a"]], ["models"], ["doctor"]]
    environment = {"TERM": "xterm-256color", "COLUMNS": "80", "JUKEBOX_URL": service.url, **setting}
    environment |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    *told, rest = in_a_terminal(commands, environment, tmp_path).split(END)
    assert rest.strip() == ""
    for _, shown in zip(commands, told, strict=True):
        assert ("\x1b[" in shown) is not bool(setting)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(cell_len(line) for line in plain.splitlines()) <= 80


END = "---- end of a command"
IN_ONE_PROCESS = f"""
import json, sys
from cli.main import main
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit:
        pass
    print({END!r}, flush=True)
"""
"""Most of the time of a command goes into imports."""


def in_a_terminal(commands, environment, folder):
    """What commands write to a terminal of their own, one after the other."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(commands)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    ) as child:
        os.close(theirs)
        parts = []
        with suppress(OSError):  # the end of a terminal that nobody writes to
            while part := os.read(ours, 65_536):
                parts.append(part)
        child.wait(60)
    os.close(ours)
    return b"".join(parts).decode()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_tree_shows_id_and_status_first_at_any_width(run, monkeypatch, listed, columns):
    lines = lines_at(run, monkeypatch, columns, "tree", IDS["d"])
    assert [line.lstrip("│├└─ ").split()[:2] for line in lines] == [
        ["a" * 8, "succeeded"],
        ["b" * 8, "canceling"],
        ["c" * 8, "running"],
        ["d" * 8, "failed"],
    ]
    assert "ancestral: 120.5 s down to" in lines[0]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_show_has_everything_about_a_job(run, monkeypatch, service, listed, columns):
    error = {"code": "out_of_memory", "message": "The memory is too small.", "retryable": True}
    service.on("GET", f"/jobs/{IDS['d']}", json_answer(listed[0] | {"error": error}))
    text = "\n".join(lines_at(run, monkeypatch, columns, "show", IDS["d"]))
    for value in (IDS["d"], "failed", "upsample", IDS["c"], "16", "seed", "too small"):
        assert value in text


def test_json_is_the_answer_of_the_service(run, listed):
    assert json.loads(run("list", "--json").stdout)["data"] == listed
    assert json.loads(run("show", IDS["a"], "--json").stdout) == listed[-1]
    assert json.loads(run("tree", IDS["a"], "--json").stdout) == listed


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_models_and_keys_fit_a_terminal_too(run, monkeypatch, columns, tmp_path):
    (tmp_path / "jukebox-data/models/broken").mkdir(parents=True)
    (tmp_path / "jukebox-data/models/broken/config.json").write_text("{")
    lines = lines_at(run, monkeypatch, columns, "models", "list")
    assert any(line.startswith("5b_lyrics") and "absent" in line for line in lines)
    assert any(line.startswith("broken") for line in lines)
    run("keys", "create", "studio")
    lines = lines_at(run, monkeypatch, columns, "keys", "list")
    assert lines[1].split()[0] == "studio"
    assert "submit,read" in lines[1]


def test_a_column_without_a_word_leaves_its_room_to_others(run, monkeypatch):
    narrow = lines_at(run, monkeypatch, 80, "models", "list")[0]
    assert narrow.split() == ["model", "state", "size", "description"]
    assert "memory" in lines_at(run, monkeypatch, 240, "models", "list")[0]


def test_models_keys_and_doctor_print_json(run):
    models = {model["name"]: model for model in json.loads(run("models", "--json").stdout)}
    assert models["mini"]["state"] == "ready"
    run("keys", "create", "studio")
    (key,) = json.loads(run("keys", "list", "--json").stdout)
    assert (key["name"], key["scopes"]) == ("studio", ["submit", "read"])


def test_new_jobs_are_json_when_posted_or_when_they_have_ended(run, service, tmp_path):
    script_a_song(service)
    posted = json.loads(run("submit", "--no-wait", "--json").stdout)
    assert posted["status"] == "queued"
    for command in (["submit"], ["upsample", IDS["a"]], ["watch", "job_1"]):
        ended = run(*command, "-o", "new/", "--json")
        assert json.loads(ended.stdout)["status"] == "succeeded"
        assert "new/Nobody - job_1 (top).wav" in ended.stderr


def test_an_upload_and_keys_are_json_too(run, service, tmp_path):
    facts = {"id": "asset_1", "kind": "audio", "duration_seconds": 1.0, "sample_rate_hz": 16000}
    service.on("POST", "/assets", json_answer(facts, 201))
    (tmp_path / "mine.wav").write_bytes(b"RIFF")
    assert json.loads(run("upload", "mine.wav", "--json").stdout) == facts
    assert json.loads(run("keys", "create", "me", "--json").stdout)["key"].startswith("jbx_")
    assert json.loads(run("webhooks", "secret", "--json").stdout)["secret"].startswith("whsec_")
    assert json.loads(run("models", "verify", "--json").stdout) == []


@pytest.mark.parametrize("typed", ["bbbbbbbb", "job_bbbbbbbb", "b", "BBBB", IDS["b"]])
def test_the_beginning_of_an_id_names_a_job(run, service, listed, typed):
    if typed != IDS["b"]:
        service.on("GET", f"/jobs/{typed}", UNKNOWN)
    assert IDS["b"] in run("show", typed).stdout


def test_every_command_takes_the_beginning_of_an_id(run, service, listed):
    whole, short = IDS["a"], "aaaa"
    script_a_song(service)
    service.on("GET", f"/jobs/{short}", UNKNOWN)
    for verb in ("cancel", "retry"):
        service.on("POST", f"/jobs/{short}/{verb}", UNKNOWN)
        service.on("POST", f"/jobs/{whole}/{verb}", json_answer(listed[-1]))
        assert run(verb, short).stdout == f"{whole}: succeeded\n"
    for method, verb in (("POST", "pin"), ("DELETE", "unpin")):
        service.on(method, f"/jobs/{short}/pin", UNKNOWN)
        service.on(method, f"/jobs/{whole}/pin", json_answer(listed[-1] | {"pinned": True}))
        assert run(verb, short).stdout == f"{whole}: pinned\n"
    service.on("GET", "/jobs", json_answer({"data": listed, "next_cursor": None}))
    for command in (["upsample", short], ["continue", short, "--seconds", "1"]):
        run(*command, "--no-wait")
        assert json.loads(service.requests[-1][3])["parent_id"] == whole


def test_the_beginning_of_several_ids_is_ambiguous(run, service, listed):
    twin = listed[0] | {"id": f"job_bb{'1' * 30}"}
    page = {"data": [*listed, twin], "next_cursor": None}
    service.on("GET", "/jobs", json_answer(page))
    service.on("GET", "/jobs/bb", UNKNOWN)
    with pytest.raises(UsageError, match=f"2 jobs begin with 'bb': {IDS['b']}, job_bb11"):
        run("delete", "bb")


def test_an_id_that_no_job_has_is_the_service_s_sentence(run, service, listed):
    for typed in ("ffff", "song-7"):
        service.on("GET", f"/jobs/{typed}", UNKNOWN)
        with pytest.raises(CliError, match="No job has this id"):
            run("show", typed)


def test_short_ids_have_as_many_digits_as_tell_them_apart():
    ids = ["job_" + "a" * 32, "job_" + "a" * 9 + "b" * 23, "job_" + "c" * 32]
    assert list(short_ids(ids).values()) == ["a" * 10, "a" * 9 + "b", "c" * 10]
    assert short_ids(["job_1"]) == {"job_1": "1"}
    assert short_ids([]) == {}


def test_jobs_are_deleted_once_all_of_them_are_found(run, service, listed):
    from tests.fixtures.scripted_service import Answer

    for name in "ab":
        service.on("DELETE", f"/jobs/{IDS[name]}", Answer(b"", 204))
    service.on("GET", "/jobs/nowhere", UNKNOWN)
    with pytest.raises(CliError):
        run("delete", IDS["a"], "nowhere")
    assert not service.asked("DELETE", f"/jobs/{IDS['a']}")
    deleted = run("delete", IDS["a"], IDS["b"], IDS["a"])
    assert deleted.stdout.splitlines() == [f"{IDS['a']}: deleted", f"{IDS['b']}: deleted"]
    assert f"restore {IDS['a']} {IDS['b']}" in " ".join(deleted.stderr.split())
    running = problem(409, "job_not_finished", "The job is running: cancel it first.")
    service.on("DELETE", f"/jobs/{IDS['c']}", running)
    with pytest.raises(CliError, match="cancel it first"):
        run("delete", IDS["c"])


def named(name, **written):
    return view(name) | {"favorite": False, "tags": [], "notes": None, "metadata": {}} | written


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_titles_stand_in_the_list_at_any_width(run, monkeypatch, service, columns):
    jobs = [
        named("a", title="Rain on a long and very lonely Monday in November", favorite=True),
        named("b", title="Bell\x07", tags=["slow", "demo"]),
        named("c", title=None),
    ]
    answer = {"data": jobs, "has_more": True, "next_cursor": "x", "total": 7}
    service.on("GET", "/jobs", json_answer(answer))
    _, *lines = lines_at(run, monkeypatch, columns, "list")
    assert "\u2605 Rain on" in lines[0]
    assert "Bell" in lines[1]
    assert "The Saw" in lines[2]


def test_a_pipe_gets_tags_too(run, monkeypatch, service):
    monkeypatch.delenv("COLUMNS", raising=False)
    jobs = [named("b", title="Rain", tags=["slow", "demo"])]
    service.on("GET", "/jobs", json_answer({"data": jobs, "has_more": False, "total": 1}))
    assert "slow, demo" in run("list").stdout


def test_every_filter_of_a_list_is_asked_of_the_service(run, service):
    service.on("GET", "/jobs", json_answer({"data": [], "has_more": False, "total": 0}))
    run("list", "--search", "rain mon", "--favorite", "--tag", "slow", "--artist", "orlavane",
        "--genre", "tidedub", "--model", "mini", "--status", "failed", "--after", "2026-11-22",
        "--before", "2026-11-23T07:30", "--sort", "title", "--trash", "--limit", "7")  # fmt: skip
    (query,) = service.queries("/jobs")
    moments = {name: query.pop(name) for name in ("created_after", "created_before")}
    assert datetime.fromisoformat(moments["created_after"]).date() == date(2026, 11, 22)
    assert all(datetime.fromisoformat(moment).tzinfo for moment in moments.values())
    assert query == {
        "q": "rain mon",
        "favorite": "true",
        "tag": "slow",
        "artist": "orlavane",
        "genre": "tidedub",
        "model": "mini",
        "status": "failed",
        "sort": "title",
        "trashed": "true",
        "limit": "7",
    }
    with pytest.raises(UsageError, match="--after 'yesterday'"):
        run("list", "--after", "yesterday")
