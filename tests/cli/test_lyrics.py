"""`jukebox lyrics`: what a song has sung, and what is left."""

import json

from tests.fixtures.scripted_service import json_answer

JOB = "job_" + "0" * 31 + "1"


def answer(**changes):
    view = {"object": "lyrics", "text": "one\n[two] three", "paced_text": "", "windows": []}
    view |= {"words": [], "seconds_needed": 20.0}
    return json_answer(view | {"sung": "one", "left": "[two] three", "next": "[two]"} | changes)


def test_what_is_sung_left_and_next_is_shown(service, run):
    service.on("GET", f"/jobs/{JOB}/lyrics", answer())
    result = run("lyrics", JOB, "--take", "1", "--next", "5")
    assert result.stdout.split() == ["sung", "one", "left", "[two]", "three", "next", "[two]"]
    paths = [path for _, path, _, _ in service.requests]
    assert any("lyrics" in path for path in paths)


def test_words_that_are_used_up_are_said(service, run):
    service.on("GET", f"/jobs/{JOB}/lyrics", answer(sung="one", left="", next=None))
    assert run("lyrics", JOB).stdout.count("(nothing)") == 2


def test_a_take_without_times_says_so_and_json_is_whole(service, run):
    service.on("GET", f"/jobs/{JOB}/lyrics", answer(sung=None, left=None, next=None))
    assert "no lyric timing" in run("lyrics", JOB).stderr
    service.on("GET", f"/jobs/{JOB}/lyrics", answer())
    assert json.loads(run("lyrics", JOB, "--json").stdout)["left"] == "[two] three"
