"""`DELETE /jobs/{id}` and its undo."""

import pytest

from jobs.api_keys import ApiKeyFile
from jobs.files.cleanup import remove_leftovers
from jobs.files.stored_bytes import StoredBytes
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.scripted_worker import files_below
from tests.api.test_keys import bearer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def deleted(service: Service):
    """A song in the trash."""
    job = await service.post(title="Rain", audio_format="wav")
    service.worker.sing(job["id"])
    sung = (await service.client.get(job["urls"]["self"])).json()
    assert (await service.client.delete(job["urls"]["self"])).status_code == 204
    return sung


def files_of(service: Service, job):
    return [path for path in files_below(service.data_dir / "artifacts") if job["id"] in str(path)]


async def test_a_deleted_song_says_until_when_it_can_be_restored(service: Service, deleted):
    (listed,) = (await service.client.get("/jobs?trashed=true")).json()["data"]
    assert listed["id"] == deleted["id"]
    assert listed["deleted_at"] < listed["expires_at"]
    assert (await service.client.get("/jobs")).json()["data"] == []
    urls = deleted["urls"]
    reads = ("self", "audio", "codes", "alignment", "lyrics", "children", "events")
    calls = [
        *(("GET", urls[name]) for name in reads),
        *(("POST", urls[name]) for name in ("cancel", "retry", "pin")),
        ("PATCH", urls["self"]),
        ("GET", deleted["outputs"][0]["url"]),
    ]
    for method, path in calls:
        body = {"json": {"title": "x"}} if method == "PATCH" else {}
        response = await service.client.request(method, path, **body)
        problem = assert_problem(response, 404, "job_in_trash")
        assert listed["expires_at"][:19] in problem["detail"]
        assert f"{urls['self']}/restore" in problem["detail"]


async def test_a_restored_song_plays_again(service: Service, deleted):
    response = await service.client.post(f"{deleted['urls']['self']}/restore")
    assert response.status_code == 200
    assert response.json() | {"expires_at": None} == deleted | {"expires_at": None}
    assert (await service.client.get(deleted["urls"]["audio"])).status_code == 200
    assert (await service.client.get("/jobs?q=rain")).json()["total"] == 1
    again = await service.client.post(f"{deleted['urls']['self']}/restore")
    assert again.json() == response.json()


async def test_files_stay_in_the_trash_and_go_with_the_second_deletion(service: Service, deleted):
    remove_leftovers(service.store, service.artifacts, deleted["id"])
    path = deleted["urls"]["self"]
    await service.client.post(f"{path}/restore")
    for kind in ("audio", "codes"):
        assert (await service.client.get(deleted["urls"][kind])).status_code == 200
    for _ in range(2):
        assert (await service.client.delete(path)).status_code == 204
    assert not [name for name in service.left_behind() if deleted["id"] in name]
    assert_problem(await service.client.get(path), 404, "job_not_found")
    assert_problem(await service.client.post(f"{path}/restore"), 404, "job_not_found")


@pytest.mark.parametrize("how", ["permanent", "setting"])
async def test_a_full_disk_has_room_at_once(clean_redis_url, models_dir, tmp_path, how):
    trash_sec = {"keep_trash_sec": 0.0} if how == "setting" else {}
    async with serving(clean_redis_url, models_dir, tmp_path, **trash_sec) as service:
        job = await service.post()
        service.worker.sing(job["id"])
        params = {"permanent": "true"} if how == "permanent" else {}
        response = await service.client.delete(job["urls"]["self"], params=params)
        assert response.status_code == 204
        assert files_of(service, job) == []
        assert_problem(await service.client.get(job["urls"]["self"]), 404, "job_not_found")


async def test_what_is_in_the_trash_counts_as_stored(service: Service):
    headers = bearer(ApiKeyFile(service.data_dir), "alice")
    job = (await service.client.post("/jobs", json=song(), headers=headers)).json()
    service.worker.sing(job["id"])
    path = job["urls"]["self"]
    assert (await service.client.delete(path, headers=headers)).status_code == 204
    for is_stored in (True, False):
        counted = StoredBytes(service.artifacts, service.assets, service.store.owner_of)
        assert counted.has_reached(job["owner"], 1) is is_stored
        await service.client.delete(path, headers=headers)


async def test_no_song_starts_from_one_in_the_trash(service: Service, deleted):
    for body in (
        {"mode": "continue", "parent_id": deleted["id"], "duration_seconds": 1.0},
        {"mode": "splice", "parts": [{"source": deleted["id"]}]},
    ):
        response = await service.client.post("/jobs", json=body)
        problem = assert_problem(response, 422, "invalid_request")
        assert "restore" in problem["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"), [("permanant=true", "/permanant"), ("permanent=maybe", "/permanent")]
)
async def test_a_misspelt_deletion_deletes_nothing(service: Service, query: str, pointer: str):
    job = await service.post()
    service.worker.sing(job["id"])
    response = await service.client.delete(f"{job['urls']['self']}?{query}")
    (error,) = assert_problem(response, 422, "invalid_request")["errors"]
    assert error["pointer"] == pointer
    assert (await service.client.get(job["urls"]["self"])).status_code == 200


async def test_others_see_no_trash_but_their_own(service: Service):
    keys = ApiKeyFile(service.data_dir)
    mine, yours = (bearer(keys, name) for name in ("mine", "yours"))
    job = (await service.client.post("/jobs", json=song(), headers=mine)).json()
    path = job["urls"]["self"]
    await service.client.post(job["urls"]["cancel"], headers=mine)
    await service.client.delete(path, headers=mine)
    for method, url in (("GET", path), ("POST", f"{path}/restore"), ("DELETE", path)):
        response = await service.client.request(method, url, headers=yours)
        assert_problem(response, 404, "job_not_found")
    for headers, total in ((mine, 1), (yours, 0)):
        listed = await service.client.get("/jobs?trashed=true", headers=headers)
        assert listed.json()["total"] == total
