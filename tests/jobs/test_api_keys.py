"""The file of keys: hashes only, changes seen at once, nothing let in by accident."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.api_keys import FILE_NAME, ApiKeyFile, Scope
from jobs.errors import ApiKeyNotFound, ApiKeysUnreadable


@pytest.fixture
def keys(tmp_path):
    return ApiKeyFile(tmp_path)


def test_a_key_is_found_by_the_word_that_was_told_once(keys):
    key, token = keys.create("alice", [Scope.READ, Scope.SUBMIT])
    assert token.startswith("jbx_")
    assert keys.find(token) == key
    assert key.scopes == (Scope.SUBMIT, Scope.READ)


def test_the_file_holds_no_key_and_is_its_owners_alone(keys, tmp_path):
    _, token = keys.create("alice", [Scope.READ])
    path = tmp_path / FILE_NAME
    assert token not in path.read_text()
    assert token.rpartition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"), str.upper])
def test_a_key_that_is_nearly_right_is_none(keys, change):
    _, token = keys.create("alice", [Scope.READ])
    assert keys.find(change(token)) is None


@pytest.mark.parametrize("token", ["", "jbx_", "jbx_" + "0" * 16 + "_" + "0" * 64, "é" * 85])
def test_what_was_never_given_out_is_no_key(keys, token):
    keys.create("alice", [Scope.READ])
    assert keys.find(token) is None


def test_a_change_is_seen_by_others_at_once(keys, tmp_path):
    other = ApiKeyFile(tmp_path)
    assert not other.exists
    _, first = keys.create("alice", [Scope.READ])
    assert other.find(first) is not None
    _, second = keys.create("bob", [Scope.READ])
    assert other.find(second) is not None
    keys.revoke("alice")
    assert other.find(first) is None
    assert [key.name for key in other.all_keys()] == ["bob"]


def test_the_last_key_revoked_leaves_the_door_locked(keys):
    keys.create("alice", [Scope.READ])
    keys.revoke("alice")
    assert keys.all_keys() == []
    assert keys.exists


def test_names_are_taken_once_and_are_names(keys):
    keys.create("alice", [Scope.READ])
    with pytest.raises(ValueError, match="already"):
        keys.create("alice", [Scope.READ])
    for name in ("", "a b", "../x", "x" * 65):
        with pytest.raises(ValueError, match="no name"):
            keys.create(name, [Scope.READ])
    with pytest.raises(ValueError, match="allows nothing"):
        keys.create("bob", [])
    with pytest.raises(ApiKeyNotFound):
        keys.revoke("bob")


def test_keys_made_at_once_are_all_kept(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        names = [f"key{n}" for n in range(16)]
        list(threads.map(lambda name: ApiKeyFile(tmp_path).create(name, [Scope.READ]), names))
    assert [key.name for key in ApiKeyFile(tmp_path).all_keys()] == sorted(names)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"keys": [{"id": "x"}]})])
def test_a_damaged_file_is_an_error_and_never_an_open_door(keys, tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    assert keys.exists
    for ask in (keys.all_keys, lambda: keys.find("jbx_" + "0" * 16 + "_" + "0" * 64)):
        with pytest.raises(ApiKeysUnreadable):
            ask()
    with pytest.raises(ApiKeysUnreadable):
        keys.create("alice", [Scope.READ])
