"""`submit --title`, `edit`, `rm` and `restore`: names of jobs, and deletions that are undone."""

import json

import pytest

from cli.errors import CliError, UsageError
from tests.fixtures.scripted_service import Answer, job, json_answer, problem, script_a_song

ID = "job_" + "a" * 32
IN_TRASH = problem(404, "job_in_trash", "This job was deleted. Until then it can be restored.")
UNKNOWN = problem(404, "job_not_found", "No job has this id.")


@pytest.fixture
def song(service):
    song = job("succeeded", id=ID, title="Rain", tags=["slow"], favorite=True, notes="wet\nday")
    song |= {"metadata": {"album": "Weather"}, "warnings": [{"detail": "did you mean orlavane?"}]}
    service.on("GET", f"/jobs/{ID}", json_answer(song))
    service.on("PATCH", f"/jobs/{ID}", json_answer(song))
    return song


@pytest.mark.parametrize(
    "command",
    [
        ("submit", "--seconds", "2"),
        ("continue", ID, "--seconds", "2"),
        ("upsample", ID),
        ("redo", ID, "--from", "0.5", "--to", "1"),
        ("splice", f"{ID}:0-1"),
    ],
    ids=lambda words: words[0],
)
def test_every_new_song_can_have_a_title_and_tags_and_shows_its_warnings(
    service, run, song, command
):
    script_a_song(service)
    warning = {"code": "artist_unknown", "pointer": "/artist", "detail": "did you mean orlavane?"}
    service.on("POST", "/jobs", json_answer(job("queued", warnings=[warning]), 202))
    result = run(*command, "--title", "Rain", "--tag", "slow", "--tag", "demo", "--no-wait")
    (body,) = service.bodies("POST", "/jobs")
    assert (body["title"], body["tags"]) == ("Rain", ["slow", "demo"])
    assert "warning: did you mean orlavane?" in result.stderr


def test_a_song_without_a_title_asks_for_none(service, run):
    script_a_song(service)
    run("submit", "--seconds", "2", "--no-wait")
    (body,) = service.bodies("POST", "/jobs")
    assert not {"title", "tags"} & body.keys()


def test_edit_changes_what_it_names(service, run, song):
    run("edit", ID, "--title", "Snow", "--tag", "a", "--tag", "b", "--no-favorite",
        "--notes", "cold", "--metadata", "album=Weather=2", "--metadata", "track=")  # fmt: skip
    run("edit", ID, "--favorite")
    run("edit", ID, "--title", "", "--tag", "", "--notes", "", "--metadata", "")
    assert service.bodies("PATCH", f"/jobs/{ID}") == [
        {
            "title": "Snow",
            "tags": ["a", "b"],
            "favorite": False,
            "notes": "cold",
            "metadata": {"album": "Weather=2", "track": ""},
        },
        {"favorite": True},
        {"title": "", "tags": [], "notes": "", "metadata": {}},
    ]


def test_edit_shows_the_job_and_refuses_what_changes_nothing(service, run, song):
    shown = run("edit", ID, "--title", "Rain").stdout
    for text in ("\u2605 Rain", "slow", "Weather", "wet day", "did you mean orlavane?"):
        assert text in shown
    assert json.loads(run("edit", ID, "--title", "Rain", "--json").stdout) == song
    with pytest.raises(UsageError, match="say what to change"):
        run("edit", ID)
    for metadata in ("album", "=x"):
        with pytest.raises(UsageError, match="NAME=TEXT"):
            run("edit", ID, "--metadata", metadata)


@pytest.mark.parametrize("name", ["delete", "rm"])
def test_a_deletion_tells_how_it_is_undone(service, run, song, name):
    service.on("DELETE", f"/jobs/{ID}", Answer(b"", 204))
    result = run(name, ID)
    assert result.stdout == f"{ID}: deleted\n"
    assert f"restore {ID}" in " ".join(result.stderr.split())
    permanent = run(name, ID, "--permanent")
    assert "restore" not in permanent.stderr
    paths = [path for method, path, _, _ in service.requests if method == "DELETE"]
    assert paths == [f"/jobs/{ID}", f"/jobs/{ID}?permanent=true"]


def test_a_job_in_the_trash_is_restored_by_the_beginning_of_its_id(service, run, song):
    service.on("POST", "/jobs/aaaa/restore", UNKNOWN)
    service.on("POST", f"/jobs/{ID}/restore", json_answer(song | {"expires_at": None}))
    answer = {"data": [song], "has_more": False, "next_cursor": None, "total": 1}
    service.on("GET", "/jobs", json_answer(answer))
    assert run("restore", "aaaa").stdout == f"{ID}: restored\n"
    assert service.queries("/jobs")[0]["trashed"] == "true"


def test_a_job_in_the_trash_is_deleted_for_good_only_where_that_is_asked_for(service, run, song):
    short = ID.removeprefix("job_")[:8]
    service.on("GET", f"/jobs/{short}", UNKNOWN)
    service.on("GET", f"/jobs/{ID}", IN_TRASH)
    service.on("DELETE", f"/jobs/{ID}", Answer(b"", 204))
    nothing = json_answer({"data": [], "has_more": False, "next_cursor": None, "total": 0})
    trash = json_answer({"data": [song], "has_more": False, "next_cursor": None, "total": 1})
    service.on("GET", "/jobs", [nothing, trash])
    with pytest.raises(CliError, match="can be restored"):
        run("rm", short)
    assert not [method for method, *_ in service.requests if method == "DELETE"]
    assert [query.get("trashed") for query in service.queries("/jobs")] == [None, "true"]
    assert run("rm", ID, "--permanent").stdout == f"{ID}: deleted\n"


def test_a_job_in_the_trash_says_so(service, run):
    service.on("GET", f"/jobs/{ID}", IN_TRASH)
    with pytest.raises(CliError, match="can be restored"):
        run("show", ID)
