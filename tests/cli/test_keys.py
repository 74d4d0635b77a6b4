"""`jukebox keys`, and the key that every command sends."""

import pytest

from cli.errors import UsageError
from cli.local.stack import _has_worker
from cli.service.sentences import sentence_of
from jobs.api_keys import ApiKeyFile
from jukebox_client import InvalidAddress, JukeboxClient
from tests.fixtures.scripted_service import json_answer, problem


def test_keys_are_made_listed_and_revoked(run, tmp_path):
    made = run("keys", "create", "alice", "--scopes", "read, submit", "--data-dir", "data")
    token = made.stdout.strip()
    key = ApiKeyFile(tmp_path / "data").find(token)
    assert key is not None
    assert (key.name, [*key.scopes]) == ("alice", ["submit", "read"])
    listed = run("keys", "list", "--data-dir", "data").stdout
    assert "alice" in listed
    assert "submit,read" in listed
    assert token not in listed
    run("keys", "revoke", "alice", "--data-dir", "data")
    assert ApiKeyFile(tmp_path / "data").find(token) is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "a b"], "no name"),
        (["create", "alice", "--scopes", "sing"], "submit, read, admin"),
        (["revoke", "nobody"], "no key is called"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        run("keys", *arguments)


def test_every_request_carries_the_key_of_the_environment(service, run, monkeypatch):
    monkeypatch.setenv("JUKEBOX_API_KEY", "jbx_1")
    service.on("GET", "/jobs", json_answer({"data": [], "has_more": False, "next_cursor": None}))
    run("list")
    assert service.asked("GET", "/jobs")[0]["authorization"] == "Bearer jbx_1"


def test_without_a_key_no_request_carries_one(service, run):
    with JukeboxClient(service.url) as client:
        client.is_ready()
    assert "authorization" not in service.asked("GET", "/readyz")[0]


def test_a_key_that_cannot_stand_in_a_header_is_told(service):
    with pytest.raises(InvalidAddress) as caught:
        JukeboxClient(service.url, api_key="jbx_1\n")
    assert "JUKEBOX_API_KEY" in sentence_of(caught.value)


def test_a_stack_whose_service_needs_a_key_counts_as_started(service):
    service.on("GET", "/readyz", json_answer({"status": "ok"}))
    service.on("GET", "/system", problem(401, "api_key_missing", "a key is needed"))
    with JukeboxClient(service.url) as client:
        assert _has_worker(client)
