"""The data folder and the record store know each other by a token."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.errors import DataFolderMismatch, StoreUnavailable
from jobs.files.shared_folder import STORE_KEY, TOKEN_FILE_NAME, SharedFolder
from jobs.store.connection import connect
from tests.worker.jobs_and_processes import Service

pytestmark = pytest.mark.redis


def test_many_processes_that_start_at_once_agree_on_one_token(clean_redis_url, tmp_path):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: SharedFolder(tmp_path, clean_redis_url).check(), range(64)))
    (token,) = tmp_path.iterdir()
    with connect(clean_redis_url) as client:
        assert client.get(STORE_KEY) == token.read_text().strip()


def test_of_many_folders_that_start_at_once_only_one_is_taken(clean_redis_url, tmp_path):
    def check(number):
        try:
            SharedFolder(tmp_path / str(number % 4), clean_redis_url).check()
        except DataFolderMismatch:
            return None
        return number % 4

    with ThreadPoolExecutor(16) as pool:
        taken = set(pool.map(check, range(64))) - {None}
    assert len(taken) == 1


def test_a_fresh_volume_with_an_old_store_is_refused_until_it_is_given_the_token(
    clean_redis_url, tmp_path
):
    SharedFolder(tmp_path / "shared", clean_redis_url).check()
    fresh = tmp_path / "fresh"
    with pytest.raises(DataFolderMismatch, match="has no token") as refused:
        SharedFolder(fresh, clean_redis_url).check()
    assert not fresh.exists()
    token = (tmp_path / "shared" / TOKEN_FILE_NAME).read_text().strip()
    assert f"write {token} into {fresh / TOKEN_FILE_NAME}" in str(refused.value)
    fresh.mkdir()
    (fresh / TOKEN_FILE_NAME).write_text(token)
    SharedFolder(fresh, clean_redis_url).check()


def test_an_old_volume_gives_a_fresh_store_its_token(clean_redis_url, tmp_path):
    SharedFolder(tmp_path, clean_redis_url).check()
    with connect(clean_redis_url) as client:
        token = client.getdel(STORE_KEY)
        SharedFolder(tmp_path, clean_redis_url).check()
        assert client.get(STORE_KEY) == token


def test_a_folder_of_another_store_is_refused(clean_redis_url, tmp_path):
    SharedFolder(tmp_path / "a", clean_redis_url).check()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / TOKEN_FILE_NAME).write_text("0" * 32)
    with pytest.raises(DataFolderMismatch, match="belongs to another job store"):
        SharedFolder(tmp_path / "b", clean_redis_url).check()


def test_a_store_that_is_away_leaves_no_token_behind(tmp_path):
    with pytest.raises(StoreUnavailable):
        SharedFolder(tmp_path, f"unix://{tmp_path}/nobody.sock").check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["worker", "api", "jobs.webhooks"])
def test_a_process_with_a_folder_of_its_own_does_not_start(clean_redis_url, tmp_path, module):
    SharedFolder(tmp_path / "shared", clean_redis_url).check()
    service = Service(redis_url=clean_redis_url, data_dir=tmp_path / "own", models_dir=tmp_path)
    (tmp_path / "own").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=service.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in (1, 2)
    assert "must share one folder" in done.stderr
    assert "Traceback" not in done.stderr
