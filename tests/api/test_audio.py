"""Downloads: the right file, in whole or in part, in the format that was asked for."""

import asyncio
import hashlib
import io
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load

from jobs.record.job import Stage
from tests.api.conftest import Service, assert_problem

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def sung(service: Service) -> dict:
    job = await service.post(num_samples=2)
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"])).json()


def pitch_hz(response: httpx.Response) -> float:
    sound, rate_hz = soundfile.read(io.BytesIO(response.content))
    spectrum = np.abs(np.fft.rfft(sound[: rate_hz * 2]))
    return float(np.argmax(spectrum) * rate_hz / (rate_hz * 2))


async def test_a_sound_comes_whole_with_its_hash_and_a_safe_name(service: Service, sung: dict):
    response = await service.client.get(sung["urls"]["audio"])

    output = next(o for o in sung["outputs"] if (o["level"], o["sample"]) == ("bottom", 0))
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/wav"
    assert response.headers["etag"] == f'"{output["sha256"]}"'
    assert hashlib.sha256(response.content).hexdigest() == output["sha256"]
    assert response.headers["accept-ranges"] == "bytes"
    assert int(response.headers["content-length"]) == output["bytes"] == len(response.content)
    name = f"The Sawtooths - {sung['id'][:12]}.wav"
    assert response.headers["content-disposition"] == (
        f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}"
    )
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_the_finest_level_and_the_first_sample_are_the_default(service: Service, sung: dict):
    assert pitch_hz(await service.client.get(sung["urls"]["audio"])) == pytest.approx(110)


async def test_level_and_sample_choose_the_sound(service: Service, sung: dict):
    async def pitch(**params: object) -> float:
        return pitch_hz(await service.client.get(sung["urls"]["audio"], params=params))

    assert await pitch(sample=1) == pytest.approx(220)
    assert await pitch(level="top") == pytest.approx(330)
    assert await pitch(level="middle", sample=1) == pytest.approx(440)


async def test_the_finest_level_is_the_finest_one_that_is_ready(service: Service):
    job = await service.post()
    service.worker.finish_level(service.worker.claim(job["id"]))
    assert pitch_hz(await service.client.get(job["urls"]["audio"])) == pytest.approx(330)
    service.worker.finish_level(service.worker.claim(job["id"], Stage.MIDDLE))
    assert pitch_hz(await service.client.get(job["urls"]["audio"])) == pytest.approx(220)


async def test_head_tells_all_but_the_sound(service: Service, sung: dict):
    whole = await service.client.get(sung["urls"]["audio"])
    head = await service.client.head(sung["urls"]["audio"])
    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "content-length", "content-type", "content-disposition"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-3", slice(0, 4)), ("bytes=44-", slice(44, None)), ("bytes=-10", slice(-10, None))],
)
async def test_a_range_brings_a_part(service: Service, sung: dict, asked: str, expected: slice):
    whole = (await service.client.get(sung["urls"]["audio"])).content
    response = await service.client.get(sung["urls"]["audio"], headers={"range": asked})
    assert response.status_code == 206
    assert response.content == whole[expected]
    assert response.headers["content-range"].endswith(f"/{len(whole)}")
    assert response.headers["etag"]


async def test_an_interrupted_download_can_be_taken_up(service: Service, sung: dict):
    url = sung["urls"]["audio"]
    whole = await service.client.get(url)
    headers = {"range": "bytes=1000-", "if-range": whole.headers["etag"]}
    rest = await service.client.get(url, headers=headers)
    assert rest.status_code == 206
    assert whole.content[:1000] + rest.content == whole.content


async def test_a_range_of_another_version_brings_the_whole(service: Service, sung: dict):
    headers = {"range": "bytes=1000-", "if-range": '"another"'}
    response = await service.client.get(sung["urls"]["audio"], headers=headers)
    assert response.status_code == 200


async def test_a_range_outside_the_file_is_a_416(service: Service, sung: dict):
    size = next(o["bytes"] for o in sung["outputs"] if o["level"] == "bottom")
    for asked in ("99999999-", "-0", "9" * 400 + "-", "99999998-99999999,-0"):
        headers = {"range": f"bytes={asked}"}
        response = await service.client.get(sung["urls"]["audio"], headers=headers)
        assert_problem(response, 416, "range_not_satisfiable")
        assert response.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("path", ["audio", "codes", "audio?format=flac"])
async def test_a_range_of_an_unknown_unit_or_form_is_ignored(
    service: Service, sung: dict, path: str
):
    for asked in (
        *("seconds=0-1", "items=99999999-", "bytes=5-2", "bytes=-", "bytes=", "bytes=,", "bytes"),
        *("bytes 0-1", "bytes=a-b", "bytes=0-1,x", "bytes=0 - 1", "bytes=+0-1", ""),
        "bytes=" + ",".join("0-1" for _ in range(200)),
    ):
        url = f"/jobs/{sung['id']}/{path}"
        response = await service.client.get(url, headers={"range": asked})
        assert response.status_code == 200, asked
        assert "content-range" not in response.headers
        assert response.headers["etag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'


async def test_ranges_are_read_as_lists_and_those_outside_are_left_out(
    service: Service, sung: dict
):
    url = sung["urls"]["audio"]
    whole = (await service.client.get(url)).content
    one = await service.client.get(url, headers={"range": "BYTES=,0-3 , 99999999-"})
    assert (one.status_code, one.content) == (206, whole[:4])
    assert one.headers["content-range"] == f"bytes 0-3/{len(whole)}"
    two = await service.client.get(url, headers={"range": "bytes=0-3,-4"})
    assert two.status_code == 206
    assert two.headers["content-type"].startswith("multipart/byteranges")
    assert two.content.count(b"Content-Range: bytes") == 2


async def test_only_get_has_ranges(service: Service, sung: dict):
    url = sung["urls"]["audio"]
    for asked in ("bytes=0-3", "bytes=99999999-"):
        head = await service.client.head(url, headers={"range": asked})
        assert head.status_code == 200
        assert "content-range" not in head.headers


@pytest.mark.parametrize("known", ["{}", "W/{}", '"old", {}', "*"])
async def test_what_the_client_has_is_not_sent_again(service: Service, sung: dict, known: str):
    url = sung["urls"]["audio"]
    etag = (await service.client.head(url)).headers["etag"]
    response = await service.client.get(url, headers={"if-none-match": known.format(etag)})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == etag


async def test_another_etag_brings_the_sound(service: Service, sung: dict):
    headers = {"if-none-match": '"old"'}
    assert (await service.client.get(sung["urls"]["audio"], headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("audio_format", "media_type", "magic"),
    [
        ("flac", "audio/flac", b"fLaC"),
        ("ogg", "audio/ogg", b"OggS"),
        ("mp3", "audio/mpeg", None),
        ("wav", "audio/wav", b"RIFF"),
    ],
)
async def test_other_formats_are_encoded_when_asked_for(
    service: Service, sung: dict, audio_format: str, media_type: str, magic: bytes | None
):
    params = {"format": audio_format}
    response = await service.client.get(sung["urls"]["audio"], params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    assert response.headers["etag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'
    assert response.headers["content-disposition"].endswith(f"{sung['id'][:12]}.{audio_format}")
    if magic is not None:
        assert response.content.startswith(magic)
    assert pitch_hz(response) == pytest.approx(110)


async def test_many_who_want_one_encoding_get_the_same_file(service: Service, sung: dict):
    params = {"format": "ogg", "level": "top"}
    answers = await asyncio.gather(
        *(service.client.get(sung["urls"]["audio"], params=params) for _ in range(8))
    )
    assert len({answer.headers["etag"] for answer in answers}) == 1
    again = await service.client.get(sung["urls"]["audio"], params=params)
    assert again.headers["etag"] == answers[0].headers["etag"]


async def test_the_format_of_the_job_is_the_default(service: Service):
    job = await service.post(audio_format="flac")
    service.worker.sing(job["id"])
    response = await service.client.get(job["urls"]["audio"])
    assert response.headers["content-type"] == "audio/flac"


async def test_an_encoded_file_goes_with_its_job(service: Service, sung: dict):
    await service.client.get(sung["urls"]["audio"], params={"format": "mp3"})
    await service.client.delete(sung["urls"]["self"], params={"permanent": "true"})
    assert not [name for name in service.left_behind() if sung["id"] in name]


async def test_a_sound_that_cannot_be_encoded_is_a_problem(service: Service, sung: dict):
    job = service.store.get(sung["id"])
    for output in job.outputs:
        service.artifacts.path(job.id, output.name).write_bytes(b"this is no sound")
    response = await service.client.get(sung["urls"]["audio"], params={"format": "mp3"})
    assert_problem(response, 500, "encoding_failed")
    assert not [name for name in service.left_behind() if name.endswith((".mp3", ".tmp"))]


async def test_a_job_without_sound_says_what_is_ready(service: Service):
    job = await service.post()
    response = await service.client.get(job["urls"]["audio"])
    problem = assert_problem(response, 404, "audio_not_found")
    assert "queued" in problem["detail"]
    assert response.headers["retry-after"]

    service.worker.finish_level(service.worker.claim(job["id"]))
    for params in ({"level": "bottom"}, {"sample": 5}):
        response = await service.client.get(job["urls"]["audio"], params=params)
        assert "top 0" in assert_problem(response, 404, "audio_not_found")["detail"]


async def test_a_lost_file_is_gone(service: Service, sung: dict):
    job = service.store.get(sung["id"])
    for output in job.outputs:
        service.artifacts.path(job.id, output.name).unlink()
    assert_problem(await service.client.get(sung["urls"]["audio"]), 410, "file_gone")


async def test_codes_come_as_safetensors(service: Service, sung: dict):
    response = await service.client.get(sung["urls"]["codes"])
    assert response.status_code == 200
    assert response.headers["etag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'
    assert response.headers["content-disposition"].endswith(f"{sung['id'][:12]}.safetensors")
    codes = load(response.content)
    assert codes["bottom"].shape == (2, 10_000)
    assert codes["bottom"].dtype == np.int32
    head = await service.client.head(sung["urls"]["codes"])
    assert head.headers["content-length"] == str(len(response.content))


async def test_a_job_without_codes_says_so(service: Service):
    job = await service.post()
    assert_problem(await service.client.get(job["urls"]["codes"]), 404, "codes_not_found")
