"""`jukebox splice`: how parts are written, and what is asked of the service."""

import json

import pytest

from cli.errors import CliError, UsageError
from cli.parts import PartText, parse_part
from tests.cli.test_modes import ASSET, PARENT, asset, bodies
from tests.fixtures.scripted_service import job, json_answer, posted, problem, script_a_song

OTHER = "job_" + "0" * 31 + "2"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("job_a", PartText(song="job_a")),
        ("a:0-12", PartText(song="a", end_sec=12.0)),
        ("a:5-", PartText(song="a", start_sec=5.0)),
        ("a:-9.5", PartText(song="a", end_sec=9.5)),
        ("a:.5-1.", PartText(song="a", start_sec=0.5, end_sec=1.0)),
        ("a:take2", PartText(song="a", take=2)),
        ("a:take2:5-9", PartText(song="a", take=2, start_sec=5.0, end_sec=9.0)),
        ("my-song:1-2", PartText(song="my-song", start_sec=1.0, end_sec=2.0)),
        (
            "C:/a b.safetensors:take1:1-2",
            PartText(song="C:/a b.safetensors", take=1, start_sec=1.0, end_sec=2.0),
        ),
        ("a:5-9:take2", PartText(song="a:5-9", take=2)),
        ("a:x-y", PartText(song="a:x-y")),
    ],
)
def test_a_part_is_a_song_a_take_and_a_stretch(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize("text", ["", ":0-12", ":take1", ":take1:0-1", "a:5-5", "a:5-1"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(UsageError):
        parse_part(text)


def test_parts_become_a_request_in_their_order(service, run):
    script_a_song(service)
    run("splice", f"{PARENT}:0-12", f"{OTHER}:take2:5-9", PARENT, "--mend", "0.5", "--no-wait")
    assert posted(service) == {
        "mode": "splice",
        "mend_seconds": 0.5,
        "parts": [
            {"source": PARENT, "sample": 0, "start_seconds": 0.0, "end_seconds": 12.0},
            {"source": OTHER, "sample": 2, "start_seconds": 5.0, "end_seconds": 9.0},
            {"source": PARENT, "sample": 0, "start_seconds": 0.0},
        ],
    }


def test_a_file_of_codes_that_is_named_twice_is_sent_once(service, run, tmp_path):
    script_a_song(service)
    service.on("POST", "/assets", asset("codes", num_samples=2, tokens={"top": 1250}))
    (tmp_path / "a-b.safetensors").write_bytes(b"codes")
    run("splice", "a-b.safetensors:0-1", "a-b.safetensors:take1:1-", "--artist", "", "--no-wait")
    assert len(bodies(service, "/assets")) == 1
    parts = json.loads(bodies(service, "/jobs")[0])["parts"]
    assert [(part["source"], part["sample"]) for part in parts] == [(ASSET, 0), (ASSET, 1)]


def test_where_parts_were_cut_is_said(service, run):
    times = {"start_seconds": 0.5, "end_seconds": 1.504, "position_seconds": 0.0}
    script_a_song(service)
    parts = [{"source": PARENT, "sample": 1, **times}]
    service.on("POST", "/jobs", json_answer(job("queued", parts=parts), 202))
    shown = run("splice", f"{PARENT}:take1:0.5-1.5", "--no-wait").stderr
    assert "take 1, 0.500 to 1.504 s" in shown


def test_a_fault_of_a_part_names_the_part_as_it_was_counted(service, run):
    script_a_song(service)
    fault = {"in": "body", "pointer": "/parts/1/end_seconds", "detail": "too late"}
    service.on("POST", "/jobs", problem(422, "invalid_request", "no", [fault]))
    with pytest.raises(CliError, match="PART 2: too late"):
        run("splice", PARENT, f"{PARENT}:0-99", "--no-wait")
