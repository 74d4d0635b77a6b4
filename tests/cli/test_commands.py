import json

import pytest

from cli.commands.follow import with_checks
from cli.errors import CliError, StackError, UsageError
from cli.main import main
from tests.fixtures.scripted_service import SOUND, job, json_answer, posted, problem, script_a_song


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("caf\u00e9".encode("utf-16"), "UTF-16"),
        ("caf\u00e9".encode("cp1252"), "line 1 has the byte 0xE9"),
    ],
)
def test_lyrics_in_another_encoding_are_refused_with_what_to_do(
    service, run, tmp_path, content, told
):
    script_a_song(service)
    (tmp_path / "words.txt").write_bytes(content)
    for command in (["submit", "--no-wait"], ["generate", "--model", "mini", "-o", "a.wav"]):
        stderr = run(*command, "--lyrics", "@words.txt", status=2).stderr
        assert told in " ".join(stderr.split())
        assert "iconv" in stderr


def test_line_breaks_and_byte_order_marks_of_files_are_not_sent(service, run, tmp_path):
    script_a_song(service)
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbfthere\ris\r\nhope")
    run("submit", "--no-wait", "--lyrics", "@words.txt", "--lyrics-format", "plain")
    assert posted(service)["lyrics"] == "there\nis\nhope"
    assert posted(service)["lyrics_format"] == "plain"


def test_warnings_and_the_text_that_is_read_are_shown_before_anything_is_drawn(service, run):
    warning = {"code": "artist_unknown", "pointer": "/artist", "detail": "did you mean orlavane?"}
    answer = job("queued") | {"warnings": [warning], "lyrics_as_read": "la la"}
    script_a_song(service)
    service.on("POST", "/jobs", json_answer(answer, status=202))
    stderr = run("submit", "--no-wait", "--lyrics", "[Verse]\nla la").stderr
    assert "warning: did you mean orlavane?" in stderr
    assert "the model reads:\nla la" in stderr
    assert "the model reads" not in run("submit", "--no-wait", "--lyrics", "la la").stderr


def test_names_are_found_on_this_machine_and_at_a_service(service, run):
    result = run("artists", "--model", "mini", "orl")
    assert result.stdout.splitlines()[1].split()[0] == "orlavane"
    assert "tidedub" in run("genres", "tidedup", "--model", "mini").stdout
    assert "No matching names" in run("artists", "qqqq", "--model", "mini").stderr
    (found,) = json.loads(run("artists", "orlavan", "--limit", "1", "--json").stdout)
    assert found["name"] == "orlavane"
    service.on("GET", "/models", json_answer({"data": [{"name": "tiny"}]}))
    names = [{"name": "the sawtooths", "ids": {"top": [2], "middle": []}, "score": 0.9}]
    service.on("GET", "/models/tiny/artists", json_answer({"data": names}))
    shown = run("artists", "saw", "--url", service.url).stdout.splitlines()[-1]
    assert ("the sawtooths" in shown, "top" in shown, "middle" in shown) == (True, True, False)


def test_generate_warns_before_it_draws(run, tmp_path):
    command = ["generate", "--model", "mini", "--seconds", "0.2", "--stop-after", "top"]
    words = ["--artist", "orlavna", "--lyrics", "[Verse]\r\n\U0001f600"]
    stderr = run(*command, *words, "-o", "song.wav").stderr
    assert "did you mean orlavane" in stderr
    assert "1 mark such as '[Verse]' will not be sung" in stderr
    assert "nothing of it will be sung" in stderr


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
    assert result.stdout.splitlines() == [
        "Nobody - job_1 (top).wav",
        "Nobody - job_1 (take 2, top).wav",
    ]
    assert (tmp_path / "Nobody - job_1 (top).wav").read_bytes() == SOUND


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
    with pytest.raises(CliError, match="no such job"):
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


def test_help_fits_eighty_columns_and_has_no_words_of_programmers_for_lists(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words, option in (
        (("submit",), "--tag TAG"),
        (("edit",), "--tag TAG"),
        (("features",), "--layer N"),
        (("train", "new"), "--keep NAME"),
        (("train", "prior"), "--freeze PART"),
    ):
        lines = run(*words, "--help").stdout.splitlines()
        assert any(line.startswith(f"  {option} ") for line in lines), lines
        assert not [line for line in lines if line.startswith("  --") and "<list[" in line]
        assert max(map(len, lines)) <= 80
    assert "{FILE}" in run("upload", "--help").stdout


def test_every_command_explains_itself(run):
    commands = ["demo", "serve", "submit", "watch", "list", "cancel", "download", "generate"]
    commands += ["continue", "upsample", "redo", "upload", "tree", "align", "codes", "features"]
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
