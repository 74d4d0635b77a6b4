import json

import pytest

from cli.errors import CliError, UsageError
from cli.job_lines import family_trees
from jukebox_client import Job
from tests.fixtures.scripted_service import Answer, job, json_answer, posted, problem, script_a_song

PARENT = "job_" + "0" * 31 + "1"
ASSET = "asset_" + "a" * 32


def asset(kind="audio", **changes):
    view = {"object": "asset", "id": ASSET, "kind": kind, "sample_rate_hz": 44_100}
    view |= {"duration_seconds": 12.5, "num_samples": None, "tokens": None}
    return json_answer(view | changes, 201)


def bodies(service, path):
    return [body for method, asked, _, body in service.requests if asked == path]


def test_a_prompt_is_sent_first_and_makes_the_song_primed(service, run, tmp_path):
    script_a_song(service)
    service.on("POST", "/assets", asset())
    (tmp_path / "mine.wav").write_bytes(b"RIFF sound")
    result = run(
        *("submit", "--prompt", "mine.wav", "--prompt-start", "2.5", "--prompt-seconds", "6"),
        *("--seconds", "20", "--no-wait"),
    )
    assert "12.50 s at 44,100 Hz" in result.stderr
    assert b"RIFF sound" in bodies(service, "/assets")[0]
    request = json.loads(bodies(service, "/jobs")[0])
    assert request["mode"] == "primed"
    assert request["prompt"] == {"asset_id": ASSET, "start_seconds": 2.5, "seconds": 6.0}
    assert request["duration_seconds"] == 20.0


@pytest.mark.parametrize(
    "command",
    [["submit", "--model", "tiny"], ["continue", PARENT, "--seconds", "3"], ["upsample", PARENT]],
)
def test_a_speed_is_passed_on_and_left_out_when_nobody_says_it(service, run, command):
    script_a_song(service)
    run(*command, "--no-wait")
    assert "speed" not in posted(service)
    service.requests.clear()
    run(*command, "--speed", "parallel", "--no-wait")
    assert posted(service)["speed"] == "parallel"


STEREO_COMMANDS = {
    "submit": ["submit", "--model", "tiny"],
    "continue": ["continue", PARENT, "--seconds", "3"],
    "upsample": ["upsample", PARENT],
}


@pytest.mark.parametrize("command", STEREO_COMMANDS.values(), ids=STEREO_COMMANDS)
def test_channels_are_passed_on_and_a_genre_of_one_asks_for_two(service, run, command):
    script_a_song(service)
    run(*command, "--no-wait")
    assert not {"channels", "stereo_genres"} & posted(service).keys()
    service.requests.clear()
    run(*command, "--channels", "1", "--no-wait")
    assert posted(service)["channels"] == 1
    service.requests.clear()
    run(*command, "--right-genre", "polka", "--no-wait")
    request = posted(service)
    assert (request["channels"], request["stereo_genres"]) == (2, {"left": None, "right": "polka"})
    run(*command, "--channels", "3", "--no-wait", status=2)


def test_an_asset_that_is_there_is_not_sent_again(service, run):
    script_a_song(service)
    run("submit", "--mode", "primed", "--prompt", ASSET, "--no-wait")
    assert posted(service)["prompt"] == {"asset_id": ASSET, "start_seconds": 0.0}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "primed"], "used together"),
        (["--mode", "ancestral", "--prompt", "mine.wav"], "used together"),
        (["--prompt-start", "3"], "require --prompt"),
        (["--prompt", "nowhere.wav"], "neither a file"),
    ],
)
def test_a_prompt_that_makes_no_sense_is_refused_before_anything_is_posted(
    service, run, arguments, sentence
):
    script_a_song(service)
    with pytest.raises(UsageError, match=sentence):
        run("submit", *arguments)
    assert bodies(service, "/jobs") == []


def test_a_file_that_the_service_does_not_take_is_its_own_sentence(service, run, tmp_path):
    script_a_song(service)
    fault = {"in": "body", "pointer": "/file", "detail": "the sound is silent"}
    service.on("POST", "/assets", problem(422, "invalid_request", "no", [fault]))
    (tmp_path / "mine.wav").write_bytes(b"RIFF sound")
    with pytest.raises(CliError, match="FILE: the sound is silent"):
        run("upload", "mine.wav")


def test_continue_asks_for_more_and_leaves_the_rest_to_the_parent(service, run):
    script_a_song(service)
    run("continue", PARENT, "--seconds", "4", "--cut", "6.5", "--sample", "2", "--no-wait")
    assert posted(service) == {
        "mode": "continue",
        "duration_seconds": 4.0,
        "cut_seconds": 6.5,
        "sample": 2,
        "parent_id": PARENT,
    }


def test_continue_waits_and_downloads_like_submit(service, run, tmp_path):
    script_a_song(service)
    result = run("continue", PARENT, "--seconds", "4", "--takes", "2", "-o", "more.wav")
    assert result.stdout.splitlines() == ["job_1", "more-0.wav", "more-1.wav"]
    assert posted(service)["num_samples"] == 2


def test_upsample_takes_other_words_and_has_no_length_of_its_own(service, run):
    script_a_song(service)
    run("upsample", PARENT, "--genre", "polka", "--lyrics", "la", "--stop-after", "middle")
    assert posted(service) == {
        "mode": "upsample",
        "parent_id": PARENT,
        "genre": "polka",
        "lyrics": "la",
        "levels": ["top", "middle"],
    }


def test_redo_names_the_section_and_its_lyrics(service, run):
    script_a_song(service)
    words = ["--lyrics", "la la", "--takes", "3", "--take", "1"]
    run("redo", PARENT, "--from", "10", "--to", "18", *words, "--no-wait")
    assert posted(service) == {
        "mode": "redo",
        "parent_id": PARENT,
        "start_seconds": 10.0,
        "end_seconds": 18.0,
        "lyrics": "la la",
        "num_samples": 3,
        "sample": 1,
    }
    run("redo", PARENT, "--from", "0", "--no-wait")
    last = json.loads(bodies(service, "/jobs")[-1])
    assert last == {"mode": "redo", "parent_id": PARENT, "start_seconds": 0.0}


def test_a_file_of_codes_stands_in_for_a_job(service, run, tmp_path):
    script_a_song(service)
    service.on("POST", "/assets", asset("codes", num_samples=2, tokens={"top": 1250}))
    (tmp_path / "draft.safetensors").write_bytes(b"codes")
    result = run("upsample", "draft.safetensors", "--model", "tiny", "--artist", "", "--no-wait")
    assert "codes of 2 (1,250 top tokens)" in result.stderr
    request = json.loads(bodies(service, "/jobs")[0])
    assert (request["prompt"], request["artist"]) == ({"asset_id": ASSET}, "")
    assert "parent_id" not in request


def test_the_only_model_is_meant_with_codes_too(service, run, tmp_path):
    script_a_song(service)
    service.on("POST", "/assets", asset("codes", num_samples=2, tokens={"top": 1250}))
    (tmp_path / "draft.safetensors").write_bytes(b"codes")
    run("upsample", "draft.safetensors", "--artist", "", "--genre", "polka", "--no-wait")
    assert json.loads(bodies(service, "/jobs")[0])["model"] == "tiny"
    service.on("GET", "/models", json_answer({"data": [{"name": "a"}, {"name": "b"}]}))
    with pytest.raises(UsageError, match=r"--model.*a, b"):
        run("upsample", "draft.safetensors", "--artist", "", "--genre", "polka", "--no-wait")


def test_what_is_neither_a_job_nor_a_file_is_refused(service, run):
    with pytest.raises(UsageError, match="neither a job id"):
        run("continue", "song-7", "--seconds", "3")


def test_upload_prints_the_id_alone(service, run, tmp_path):
    service.on("POST", "/assets", asset())
    (tmp_path / "mine.flac").write_bytes(b"fLaC")
    assert run("upload", "mine.flac").stdout == f"{ASSET}\n"


def member(id_, parent=None, **changes):
    wanted = job()["input"] | changes
    moment = f"2026-01-01T00:00:0{id_}Z"
    return job(
        "succeeded",
        id=f"job_{id_}",
        parent_id=parent and f"job_{parent}",
        root_id="job_1",
        created_at=moment,
        input=wanted,
    )


def test_tree_shows_the_whole_line_whichever_of_it_is_named(service, run):
    family = [
        member(4, 2, mode="upsample", sample=0),
        member(3, 1, mode="continue", cut_seconds=1.5),
        member(2, 1, mode="continue", sample=2),
        member(1, num_samples=3),
    ]
    pages = [
        json_answer({"data": family[:2], "has_more": True, "next_cursor": "x"}),
        json_answer({"data": family[2:], "has_more": False, "next_cursor": None}),
    ]
    service.on("GET", "/jobs/job_4", json_answer(family[0]))
    service.on("GET", "/jobs", pages)
    lines = run("tree", "job_4").stdout.splitlines()
    assert [line.split("job_")[1][0] for line in lines] == ["1", "2", "4", "3"]
    assert "succeeded  ancestral: 2 s down to middle, 3 takes" in lines[0]
    assert "succeeded  continue of take 2: 2 s" in lines[1]
    assert "succeeded  continue cut at 1.5 s: 2 s" in lines[3]
    assert "root=job_1" in service.requests[-1][1]


def test_jobs_whose_parent_was_deleted_still_stand_in_the_tree():
    family = [member(2, 1), member(3, 2), member(4, 1)]
    roots = family_trees([Job.model_validate(each) for each in family], marked="job_3", width=80)
    assert [len(root.children) for root in roots] == [1, 0]


def test_align_writes_the_format_that_the_file_is_called(service, run, tmp_path):
    service.on("GET", "/jobs/job_1/alignment", Answer(b"[00:01.00]<00:01.00>la\n"))
    assert run("align", "job_1", "-o", "song.lrc").stdout == "song.lrc\n"
    assert (tmp_path / "song.lrc").read_text() == "[00:01.00]<00:01.00>la\n"
    assert service.requests[-1][1].endswith("?sample=0&format=lrc")
    printed = run("align", "job_1", "--format", "vtt", "--sample", "1")
    assert printed.stdout == "[00:01.00]<00:01.00>la\n"
    assert service.requests[-1][1].endswith("?sample=1&format=vtt")


def test_a_model_that_cannot_tell_times_is_the_service_s_sentence(service, run):
    service.on("GET", "/jobs/job_1/alignment", problem(404, "alignment_not_found", "no head"))
    with pytest.raises(CliError, match="no head"):
        run("align", "job_1")


def test_codes_are_downloaded_under_the_job_s_name(service, run, tmp_path):
    script_a_song(service)
    service.on("GET", "/jobs/job_1/codes", Answer(b"codes", 200, {"etag": '"c"'}))
    assert run("codes", "download", "job_1").stdout == "job_1.safetensors\n"
    assert (tmp_path / "job_1.safetensors").read_bytes() == b"codes"
