import json

import pytest

from cli.commands.follow import with_checks
from cli.errors import ServiceProblem, StackError, UsageError
from cli.main import main
from tests.cli.scripted import SOUND, job, json_answer, posted, problem, script_a_song


def test_submit_waits_shows_how_it_goes_and_says_how_to_download(service, run):
    script_a_song(service)
    result = run("submit", "--artist", "Nobody", "--genre", "Noise", "--seed", "3")
    assert result.stdout == "job_1\n"
    assert "queued, 2 before it" in result.stderr
    assert "take 1 can be heard at level top" in result.stderr
    assert "jukebox download job_1" in result.stderr
    request = posted(service)
    assert (request["model"], request["artist"], request["seed"]) == ("tiny", "Nobody", 3)
    assert "song_duration_seconds" not in request


def test_retry_sends_a_failed_job_back_to_the_queue(service, run):
    service.on("POST", "/jobs/job_1/retry", json_answer(job("queued")))
    assert run("retry", "job_1").stdout == "job_1: queued\n"


def test_a_job_is_pinned_and_unpinned(service, run):
    kept = {"pinned": False, "expires_at": "2026-12-22T07:30:00Z"}
    service.on("POST", "/jobs/job_1/pin", json_answer(job("succeeded") | {"pinned": True}))
    service.on("DELETE", "/jobs/job_1/pin", json_answer(job("succeeded") | kept))
    assert run("pin", "job_1").stdout == "job_1: pinned\n"
    assert run("unpin", "job_1").stdout == "job_1: kept until 2026-12-22T07:30:00Z\n"


def test_submit_downloads_every_take_when_told_where_to(service, run, tmp_path):
    script_a_song(service)
    result = run("submit", "-o", "song.wav", "--takes", "2")
    assert result.stdout.splitlines()[1:] == ["song-0.wav", "song-1.wav"]
    assert (tmp_path / "song-1.wav").read_bytes() == SOUND


def test_submit_without_waiting_only_prints_the_id(service, run):
    script_a_song(service)
    result = run("submit", "--no-wait", "--model", "tiny", "--stop-after", "top")
    assert (result.stdout, result.stderr) == ("job_1\n", "")
    assert posted(service)["levels"] == ["top"]
    assert len(service.requests) == 1


def test_submit_reads_lyrics_from_a_file(service, run, tmp_path):
    script_a_song(service)
    (tmp_path / "words.txt").write_text("Là, là", encoding="utf-8")
    run("submit", "--no-wait", "--lyrics", "@words.txt")
    assert posted(service)["lyrics"] == "Là, là"
    run("submit", "--no-wait", "--lyrics", "@nowhere.txt", status=2)


def test_one_temperature_is_for_every_level_that_is_drawn(service, run):
    script_a_song(service)
    run("submit", "--no-wait", "--temperature", "0.9", "--stop-after", "middle")
    assert posted(service)["sampling"] == {
        "top": {"temperature": 0.9},
        "middle": {"temperature": 0.9},
    }


def test_submit_asks_which_model_when_there_are_several(service, run):
    service.on("GET", "/models", json_answer({"data": [{"name": "a"}, {"name": "b"}]}))
    with pytest.raises(UsageError, match="a, b"):
        run("submit")


def test_a_failed_job_ends_the_command_with_status_1(service, run):
    error = {"code": "engine_error", "message": "It broke.", "retryable": False}
    script_a_song(service, status="failed", error=error)
    assert "It broke." in run("watch", "job_1", status=1).stderr


def test_download_names_files_after_job_level_and_take(service, run, tmp_path):
    script_a_song(service)
    result = run("download", "job_1")
    assert result.stdout.splitlines() == ["job_1-top-0.wav", "job_1-top-1.wav"]
    assert (tmp_path / "job_1-top-0.wav").read_bytes() == SOUND


def test_list_shows_jobs_as_a_table_or_as_json(service, run):
    page = {"object": "list", "data": [job()], "has_more": True, "next_cursor": "x"}
    service.on("GET", "/jobs", json_answer(page))
    result = run("list", "--status", "running")
    assert "job_1" in result.stdout
    assert "--limit" in result.stderr
    assert "status=running" in service.requests[-1][1]
    assert json.loads(run("list", "--json").stdout) == page


def test_cancel_says_how_the_job_stands(service, run):
    service.on("POST", "/jobs/job_1/cancel", json_answer(job("canceling")))
    assert run("cancel", "job_1").stdout == "job_1: canceling\n"


def test_an_unknown_job_is_the_service_s_sentence(service, run):
    service.on("POST", "/jobs/job_2/cancel", problem(404, "job_not_found", "no such job"))
    with pytest.raises(ServiceProblem, match="no such job"):
        run("cancel", "job_2")


def test_a_dead_process_ends_the_wait():
    def never():
        import threading

        threading.Event().wait(30)
        yield {}

    def check():
        raise StackError("the worker ended")

    with pytest.raises(StackError, match="the worker ended"):
        list(with_checks(never(), check))


def test_every_command_explains_itself(run):
    commands = ["demo", "serve", "submit", "watch", "list", "cancel", "download", "generate"]
    commands += ["continue", "upsample", "upload", "tree", "align", "codes", "features"]
    for command in [*commands, "models", "doctor"]:
        assert "Usage: " in run(command, "--help").stdout


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder")
    target = str(tmp_path / "file" / "tiny")
    monkeypatch.setattr("sys.argv", ["jukebox", "models", "tiny", target])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("command", "module"),
    [("synth", "recipes.mini.synth"), ("eval", "recipes.mini.evaluate")],
)
def test_a_command_that_moved_to_the_recipe_names_its_module(run, command, module):
    with pytest.raises(UsageError, match=module):
        run(command, "songs", "--seed", "1", "--help")
