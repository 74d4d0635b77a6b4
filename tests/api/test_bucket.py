"""The API with its files in a bucket: everything that touches a file goes there and comes back."""

import hashlib
import re
import shutil
from pathlib import Path

import httpx
import pytest

from jobs.files.download_names import content_disposition
from jukebox_core.buckets import Bucket, BucketUrl
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.sounds import encoded, tone
from tests.fixtures.s3_server import Fault, S3Server

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def service(clean_redis_url: str, models_dir: Path, tmp_path: Path, bucket_url: str):
    async with serving(clean_redis_url, models_dir, tmp_path, bucket=bucket_url) as service:
        yield service


@pytest.fixture
def files(bucket_url: str):
    """Keys of everything that is in the bucket, with what they begin with cut off."""
    bucket = Bucket(BucketUrl(bucket_url))
    return lambda: [each.key for each in bucket.below("")]


async def sung(service: Service, **changes) -> dict:
    job = await service.post(**changes)
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"])).json()


async def test_what_was_sung_is_downloaded_whole_in_part_and_in_other_forms(service, files):
    job = await sung(service)
    url, get = job["urls"]["audio"], service.client.get
    whole = await get(url)
    assert hashlib.sha256(whole.content).hexdigest() == whole.headers["etag"].strip('"')
    part = await get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    again = await get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    beyond = await get(url, headers={"Range": "bytes=999999999-"})
    assert_problem(beyond, 416, "range_not_satisfiable")
    for path in ("archive", "codes", "peaks", "spectrogram.png", "audio?format=flac", "live"):
        response = await get(f"/jobs/{job['id']}/{path}")
        assert response.status_code == 200, path
        assert response.content, path
    made = [name for name in files() if name.endswith((".flac", ".spectrum.npz"))]
    assert len(made) >= 2, "what was made of a sound is there for other machines"
    response = await service.client.delete(f"/jobs/{job['id']}", params={"permanent": True})
    assert response.status_code == 204
    assert files() == []


@pytest.fixture
def nothing_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """From the call on, files of songs are large, and the API has no copies of them."""

    def forget() -> None:
        monkeypatch.setattr("jobs.files.bucket_artifacts.COPIED_BYTES", 1000)
        shutil.rmtree(tmp_path / "cache" / "files")

    return forget


@pytest.fixture
def parts_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First byte and end of all that is read of files in the bucket without a copy."""
    parts, read_on = [], Bucket.read_on

    def note(bucket, key, start, etag, *, end):
        parts.append((start, end))
        return read_on(bucket, key, start, etag, end=end)

    monkeypatch.setattr(Bucket, "read_on", note)
    return parts


async def test_a_large_file_is_sent_from_the_bucket_and_not_copied_before(
    service, nothing_copied, parts_read, tmp_path
):
    job = await sung(service)
    get, urls = service.client.get, [job["urls"]["audio"], job["urls"]["audio"] + "?format=flac"]
    wholes = [await get(url) for url in urls]
    nothing_copied()
    for url, whole in zip(urls, wholes, strict=True):
        etag, size = whole.headers["etag"], len(whole.content)
        part = await get(url, headers={"Range": "bytes=100-299", "If-Range": etag})
        assert (part.status_code, part.content) == (206, whole.content[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{size}"
        assert part.headers["etag"] == etag
        known = await get(url, headers={"If-None-Match": etag})
        assert (known.status_code, known.content) == (304, b"")
        head = await service.client.head(url, headers={"Range": "bytes=0-3"})
        assert (head.status_code, head.headers["content-length"]) == (200, str(size))
        beyond = await get(url, headers={"Range": "bytes=999999999-"})
        assert_problem(beyond, 416, "range_not_satisfiable")
        assert parts_read == [(100, 300)], "no more than the part was fetched"
        for headers in ({}, {"Range": "bytes=0-3,-4"}, {"Range": "bytes=9-", "If-Range": '"x"'}):
            again = await get(url, headers=headers)
            assert (again.status_code, again.content) == (200, whole.content)
        parts_read.clear()
        for name in ("content-disposition", "content-type", "accept-ranges", "cache-control"):
            assert again.headers[name] == whole.headers[name]
    copied = [path for path in (tmp_path / "cache" / "files").rglob("*") if path.is_file()]
    assert not [path for path in copied if path.suffix in (".wav", ".flac")]


async def test_a_large_file_is_whole_or_refused_whatever_the_bucket_does(
    clean_redis_url, models_dir, tmp_path, bucket_url, service, s3_server: S3Server, nothing_copied
):
    job = await sung(service)
    url = job["urls"]["audio"]
    whole = await service.client.get(url)
    nothing_copied()
    s3_server.fail(Fault(methods="GET", path="/bottom", truncate_bytes=5000, times=2))
    assert (await service.client.get(url)).content == whole.content
    s3_server.fail(Fault(methods="GET", path="/bottom", status=503, code="SlowDown"))
    wish = {"bucket": bucket_url, "patience_sec": 0.5}
    async with serving(clean_redis_url, models_dir, tmp_path, **wish) as hasty:
        assert_problem(await hasty.client.get(url), 503, "storage_unavailable")
    s3_server.heal()
    assert (await service.client.get(url)).content == whole.content


async def test_a_song_begins_with_what_was_sent_or_sung(service, files):
    upload = {"file": ("a.wav", encoded(tone(1.0), "wav"))}
    asset = (await service.client.post("/assets", files=upload)).json()
    prompt = {"asset_id": asset["id"]}
    primed = await service.client.post("/jobs", json=song(mode="primed", prompt=prompt))
    assert primed.status_code == 202, primed.text
    assert f"artifacts/{primed.json()['id']}/prompt.wav" in files()
    parent = await sung(service)
    body = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 2}
    continued = await service.client.post("/jobs", json=body)
    assert continued.status_code == 202, continued.text
    assert any(continued.json()["id"] in name and "prompt-to" in name for name in files())
    assert (await service.client.delete(f"/assets/{asset['id']}")).status_code == 204
    assert not [name for name in files() if name.startswith("assets")]


async def test_a_request_that_is_refused_leaves_nothing_in_the_bucket(service, files):
    broken = {"file": ("a.wav", b"RIFF no sound")}
    assert_problem(await service.client.post("/assets", files=broken), 422, "invalid_request")
    body = song(mode="primed", prompt={"asset_id": "asset_" + "0" * 32})
    assert (await service.client.post("/jobs", json=body)).status_code in (404, 422)
    assert files() == []


async def test_a_bucket_that_is_away_is_a_503_and_passes(
    clean_redis_url, models_dir, tmp_path, bucket_url, service, s3_server: S3Server
):
    job = await sung(service)
    wish = {"bucket": bucket_url, "patience_sec": 0.5}
    async with serving(clean_redis_url, models_dir, tmp_path, **wish) as hasty:
        assert (await hasty.client.get(job["urls"]["self"])).status_code == 200
        s3_server.fail(Fault(status=503, code="SlowDown"))
        for url in (job["urls"]["audio"], f"/jobs/{job['id']}/codes", f"/jobs/{job['id']}/archive"):
            response = await hasty.client.get(url)
            assert_problem(response, 503, "storage_unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert (await hasty.client.get(job["urls"]["self"])).status_code == 200
    s3_server.heal()
    assert (await service.client.get(job["urls"]["audio"])).status_code == 200


async def test_clients_are_sent_to_the_bucket_where_that_is_wanted(
    clean_redis_url, models_dir, tmp_path, bucket_url
):
    wish = {"bucket": bucket_url, "downloads": "redirect"}
    async with serving(clean_redis_url, models_dir, tmp_path, **wish) as service:
        job = await sung(service, title='Für "Ella"', num_samples=2)
        for path, ending, media_type in (
            ("audio", ".wav", "audio/wav"),
            ("audio?sample=1&level=top", " (take 2, top).wav", "audio/wav"),
            ("audio?format=flac", ".flac", "audio/flac"),
            ("codes", ".safetensors", "application/octet-stream"),
        ):
            elsewhere = await redirected(service, f"/jobs/{job['id']}/{path}")
            assert elsewhere.status_code == 200, path
            assert elsewhere.headers["content-type"] == media_type
            named = elsewhere.headers["content-disposition"]
            assert named == content_disposition(f"Für 'Ella'{ending}")
            if path == "audio":
                sha256 = next(o["sha256"] for o in job["outputs"] if o["level"] == "bottom")
                assert hashlib.sha256(elsewhere.content).hexdigest() == sha256
        head = await service.client.head(f"/jobs/{job['id']}/audio")
        assert (head.status_code, head.headers["accept-ranges"]) == (200, "bytes")
        known = {"If-None-Match": head.headers["etag"]}
        again = await service.client.get(f"/jobs/{job['id']}/audio", headers=known)
        assert (again.status_code, again.headers["etag"]) == (304, head.headers["etag"])


async def test_nobody_is_sent_to_a_file_that_the_bucket_lost_or_while_it_is_away(
    clean_redis_url, models_dir, tmp_path, bucket_url, s3_server: S3Server
):
    wish = {"bucket": bucket_url, "downloads": "redirect", "patience_sec": 0.5}
    async with serving(clean_redis_url, models_dir, tmp_path, **wish) as service:
        job = await sung(service)
        urls = (job["urls"]["audio"], job["urls"]["codes"])
        s3_server.fail(Fault(status=503, code="SlowDown"))
        for url in urls:
            assert_problem(await service.client.get(url), 503, "storage_unavailable")
        s3_server.heal()
        bucket = Bucket(BucketUrl(bucket_url))
        bucket.delete([each.key for each in bucket.below("artifacts")])
        for url in urls:
            assert_problem(await service.client.get(url), 410, "file_gone")


async def test_files_that_a_bucket_got_without_a_name_are_redirected_to_all_the_same(
    clean_redis_url, models_dir, tmp_path, bucket_url
):
    wish = {"bucket": bucket_url, "downloads": "redirect"}
    async with serving(clean_redis_url, models_dir, tmp_path, **wish) as service:
        job = await sung(service)
        before = await redirected(service, job["urls"]["audio"])
        bucket = Bucket(BucketUrl(bucket_url))
        (key,) = (each.key for each in bucket.below("") if re.search(r"bottom-.*\.wav$", each.key))
        bucket.write(key, before.content)
        after = await redirected(service, job["urls"]["audio"])
        assert (after.status_code, after.content) == (200, before.content)
        assert "content-disposition" not in after.headers


async def redirected(service: Service, url: str) -> httpx.Response:
    """What a client without a key gets where the service sends it."""
    response = await service.client.get(url)
    assert response.status_code == 307, response.text
    async with httpx.AsyncClient() as anybody:
        return await anybody.get(response.headers["location"])
