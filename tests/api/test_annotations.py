"""Title, tags, favorite, notes and metadata of a job: at `POST /jobs`, and by PATCH."""

import asyncio
import json
import threading

import pytest
import redis

from jobs.record.codec import job_to_fields
from jobs.record.job import Stage
from jobs.store.scripts import record_key
from tests.api.conftest import Service, assert_problem, song
from tests.api.sounds import encoded, tone
from tests.api.test_modes import primed, sent

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

WRITTEN = {
    "title": "Rain",
    "tags": ["slow", "Été"],
    "favorite": True,
    "notes": "second take\nis the one",
    "metadata": {"album": "Weather", "track": "3"},
}
NOTHING = {"title": None, "tags": [], "favorite": False, "notes": None, "metadata": {}}


def written_on(job):
    return {name: job[name] for name in WRITTEN}


async def patched(service: Service, job, status=200, **changes):
    response = await service.client.patch(f"/jobs/{job['id']}", json=changes)
    assert response.status_code == status, response.text
    return response.json()


async def test_every_mode_takes_them(service: Service):
    asset = await sent(service, encoded(tone()))
    job = await service.post(**WRITTEN)
    service.worker.sing(job["id"])
    goes_on = {"parent_id": job["id"], "sample": 0}
    bodies = [
        primed(asset),
        {"mode": "continue", "duration_seconds": 1.0, **goes_on},
        {"mode": "upsample", "cut_seconds": 2.0, **goes_on, "levels": ["top", "middle", "bottom"]},
    ]
    assert written_on(job) == WRITTEN
    for body in bodies[:2]:
        response = await service.client.post("/jobs", json=body | WRITTEN)
        assert response.status_code == 202, response.text
        assert written_on(response.json()) == WRITTEN
        plain = await service.client.post("/jobs", json=body)
        assert written_on(plain.json()) == NOTHING, "they are of one job, and not inherited"


async def test_they_are_no_part_of_the_request(service: Service):
    plain = await service.post()
    job = await service.post(**WRITTEN)
    assert job["input"] == plain["input"]
    assert written_on(plain) == NOTHING
    again = await service.client.post("/jobs", json=job["input"])
    assert again.status_code == 202


async def test_a_patch_changes_what_it_names_and_nothing_else(service: Service):
    job = await service.post(**WRITTEN)
    changed = await patched(service, job, title="Rain again", favorite=False)
    assert written_on(changed) == WRITTEN | {"title": "Rain again", "favorite": False}
    read = (await service.client.get(f"/jobs/{job['id']}")).json()
    assert read == changed
    assert {n: v for n, v in read.items() if n not in WRITTEN} == {
        n: v for n, v in job.items() if n not in WRITTEN
    }
    assert await patched(service, job) == changed


@pytest.mark.parametrize(
    "empty",
    [dict.fromkeys(WRITTEN), {**NOTHING, "title": "", "notes": " \n"}],
    ids=["null", "empty"],
)
async def test_null_or_empty_clears(service: Service, empty):
    job = await service.post(**WRITTEN)
    assert written_on(await patched(service, job, **empty)) == NOTHING
    with redis.Redis.from_url(service.redis_url, decode_responses=True) as server:
        assert not set(WRITTEN) & set(server.hgetall(record_key(job["id"])))


async def test_a_job_of_any_status_can_be_named(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    assert (await patched(service, job, title="Rain"))["status"] == "succeeded"


async def test_texts_are_kept_without_blanks_around_them(service: Service):
    job = await service.post(title="  Rain  ", tags=[" a "], notes="\r\nx\r\ny\n")
    assert (job["title"], job["tags"], job["notes"]) == ("Rain", ["a"], "x\ny")
    unseen = "\N{ZERO WIDTH SPACE} \N{RIGHT-TO-LEFT MARK}"
    assert (await service.post(title=unseen, notes=unseen))["title"] is None
    metadata = {" a ": " b\r\n", "a": ""}
    assert (await service.post(metadata=metadata))["metadata"] == metadata


BAD = {
    "long title": ({"title": "x" * 201}, "/title"),
    "two lines": ({"title": "a\nb"}, "/title"),
    "title of another kind": ({"title": 7}, "/title"),
    "half a character": ({"title": "\ud800"}, "/title"),
    "many tags": ({"tags": [str(n) for n in range(17)]}, "/tags"),
    "long tag": ({"tags": ["x" * 51]}, "/tags/0"),
    "empty tag": ({"tags": ["a", ""]}, "/tags/1"),
    "blank tag": ({"tags": [" "]}, "/tags/0"),
    "tag that cannot be seen": ({"tags": ["\N{ZERO WIDTH SPACE}"]}, "/tags/0"),
    "same tag": ({"tags": ["a", "A"]}, "/tags"),
    "no list": ({"tags": "a"}, "/tags"),
    "favorite of another kind": ({"favorite": 1}, "/favorite"),
    "long notes": ({"notes": "x" * 2001}, "/notes"),
    "bell": ({"notes": "\a"}, "/notes"),
    "many pairs": ({"metadata": {str(n): "" for n in range(17)}}, "/metadata"),
    "long key": ({"metadata": {"k" * 65: ""}}, "/metadata/" + "k" * 65),
    "empty key": ({"metadata": {"": "x"}}, "/metadata/"),
    "long value": ({"metadata": {"a/b": "x" * 501}}, "/metadata/a~1b"),
    "value of another kind": ({"metadata": {"a": 1}}, "/metadata/a"),
    "list of pairs": ({"metadata": []}, "/metadata"),
    "unknown": ({"titel": "Rain"}, "/titel"),
}


@pytest.mark.parametrize(("changes", "pointer"), BAD.values(), ids=BAD)
async def test_what_no_job_can_be_called_is_refused_by_name(service: Service, changes, pointer):
    job = await service.post(**WRITTEN)
    for method, path, body in (
        ("PATCH", f"/jobs/{job['id']}", changes),
        ("POST", "/jobs", song() | changes),
    ):
        content = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        response = await service.client.request(method, path, content=content, headers=headers)
        problem = assert_problem(response, 422, "invalid_request")
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert written_on((await service.client.get(f"/jobs/{job['id']}")).json()) == WRITTEN


async def test_the_largest_texts_are_taken(service: Service):
    largest = {
        "title": "♪" * 200,
        "tags": [f"{n:02}" + "x" * 48 for n in range(16)],
        "notes": "x" * 2000,
        "metadata": {f"{n:02}" + "k" * 62: "v" * 500 for n in range(16)},
        "favorite": True,
    }
    assert written_on(await service.post(**largest)) == largest


async def test_a_job_that_is_not_there_cannot_be_named(service: Service):
    response = await service.client.patch("/jobs/job_" + "0" * 32, json={"title": "Rain"})
    assert_problem(response, 404, "job_not_found")


async def test_a_change_is_an_event_and_no_change_is_none(service: Service):
    job = await service.post()
    before = len(await service.watcher_events(job["id"]))
    await patched(service, job, title="Rain", tags=["slow"])
    await patched(service, job, title="Rain", tags=["slow"])
    (event,) = (await service.watcher_events(job["id"]))[before:]
    assert (event.kind, event.data) == ("changed", {"fields": ["tags", "title"]})


async def test_names_and_the_writes_of_a_worker_never_lose_each_other(service: Service):
    """One thread names the job over and over, another one sings it."""
    jobs = [await service.post(num_samples=1) for _ in range(10)]
    stop, names = threading.Event(), {}

    def name():
        number = 0
        while not stop.is_set():
            for job in jobs:
                number += 1
                names[job["id"]] = f"{number}"
                service.store.annotate(job["id"], {"title": f"{number}"})

    namer = threading.Thread(target=name)
    namer.start()
    try:
        for job in jobs:
            await asyncio.to_thread(service.worker.sing, job["id"])
    finally:
        stop.set()
        namer.join()
    for job in jobs:
        read = service.store.get(job["id"], with_windows=True)
        assert read.title == names[job["id"]]
        alone = await service.post()
        service.worker.sing(alone["id"])
        sung = service.store.get(alone["id"], with_windows=True)
        ours, others = (set(job_to_fields(each)) for each in (read, sung))
        assert ours - {"title"} == others
        assert (read.status, read.stage) == (sung.status, Stage.RENDER)


async def test_two_who_change_different_fields_both_succeed(service: Service):
    job = await service.post()
    changes = [{"title": "Rain"}, {"tags": ["a"]}, {"favorite": True}, {"notes": "n"}]
    await asyncio.gather(*(patched(service, job, **change) for change in changes))
    read = (await service.client.get(f"/jobs/{job['id']}")).json()
    assert written_on(read) == {
        "title": "Rain",
        "tags": ["a"],
        "favorite": True,
        "notes": "n",
        "metadata": {},
    }
