"""Waveforms and spectrograms of a job, as players ask for them."""

import asyncio
import struct
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from jobs.files.artifacts import analysis_name, peaks_name
from tests.api.conftest import Service, assert_problem

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def sung(service: Service) -> dict:
    job = await service.post(num_samples=2)
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"])).json()


def sound_of(service: Service, job: dict, level: str, sample: int) -> np.ndarray:
    outputs = service.store.get(job["id"]).outputs
    output = next(o for o in outputs if (o.level, o.sample) == (level, sample))
    path = service.artifacts.path(job["id"], output.name)
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


async def peaks(service: Service, job: dict, **params: Any) -> dict[str, Any]:
    response = await service.client.get(job["urls"]["peaks"], params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


async def test_peaks_are_those_of_the_sound(service: Service, sung: dict):
    values = await peaks(service, sung, points=500, bits=16)
    sound = sound_of(service, sung, "bottom", 0)
    assert values["samples_per_pixel"] == 320
    assert values["length"] == 500
    parts = sound.reshape(500, 320)
    expected = np.stack([parts.min(axis=1), parts.max(axis=1)], axis=1).ravel()
    assert values["data"] == expected.tolist()


async def test_level_and_sample_choose_the_sound(service: Service, sung: dict):
    for level in ("top", "bottom"):
        for sample in (0, 1):
            values = await peaks(service, sung, level=level, sample=sample, points=10, bits=16)
            sound = sound_of(service, sung, level, sample)
            assert values["length"] == 10
            assert max(values["data"]) == sound.max()


async def test_the_default_is_small_and_the_finest_level(service: Service, sung: dict):
    values = await peaks(service, sung)
    assert (values["version"], values["channels"], values["bits"]) == (2, 1, 8)
    assert values["length"] == 1000
    assert len(values["data"]) == 2000
    assert values["sample_rate"] == 16_000
    assert all(-128 <= value <= 127 for value in values["data"])


async def test_the_binary_says_the_same(service: Service, sung: dict):
    values = await peaks(service, sung, points=77)
    params = {"format": "binary", "points": 77}
    response = await service.client.get(sung["urls"]["peaks"], params=params)
    assert response.headers["content-type"] == "application/octet-stream"
    header = struct.unpack("<iIiiIi", response.content[:24])
    assert header == (2, 1, 16_000, values["samples_per_pixel"], values["length"], 1)
    assert np.frombuffer(response.content[24:], np.int8).tolist() == values["data"]


async def test_peaks_are_computed_once_and_kept_beside_the_sound(service: Service, sung: dict):
    output = next(o for o in service.store.get(sung["id"]).outputs if o.level == "bottom")
    name = peaks_name(output.name)
    answers = await asyncio.gather(*(peaks(service, sung, points=5) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    kept = service.artifacts.path(sung["id"], name)
    before = kept.stat().st_mtime_ns
    await peaks(service, sung, points=6)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_a_damaged_file_is_made_again(service: Service, sung: dict, kind: str):
    url = sung["urls"][kind]
    whole = await service.client.get(url)
    output = next(o for o in service.store.get(sung["id"]).outputs if o.level == "bottom")
    name = peaks_name(output.name) if kind == "peaks" else analysis_name(output.name)
    kept = service.artifacts.path(sung["id"], name)
    kept.write_bytes(kept.read_bytes()[:-5])
    again = await service.client.get(url)
    assert again.status_code == 200
    assert again.content == whole.content


def size_of(response: httpx.Response) -> tuple[int, int]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">2I", response.content[16:24])
    return width, height


async def test_a_spectrogram_has_the_size_that_was_asked_for(service: Service, sung: dict):
    url = sung["urls"]["spectrogram"]
    assert size_of(await service.client.get(url)) == (1024, 256)
    params = {"width": 300, "height": 100, "level": "top", "sample": 1}
    small = await service.client.get(url, params=params)
    assert size_of(small) == (300, 100)
    assert len(small.content) < 32_000
    other = await service.client.get(url, params={**params, "sample": 0})
    assert other.content != small.content


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_what_the_client_has_is_not_sent_again(service: Service, sung: dict, kind: str):
    url = sung["urls"][kind]
    whole = await service.client.get(url)
    etag = whole.headers["etag"]
    assert (await service.client.get(url)).headers["etag"] == etag
    response = await service.client.get(url, headers={"if-none-match": etag})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == etag
    others = {"level": "top"}, {"sample": 1}
    for params in others:
        other = await service.client.get(url, params=params, headers={"if-none-match": etag})
        assert other.status_code == 200


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_head_tells_all_but_the_content(service: Service, sung: dict, kind: str):
    whole = await service.client.get(sung["urls"][kind])
    head = await service.client.head(sung["urls"][kind])
    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "content-length", "content-type"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_a_job_without_sound_says_what_is_ready(service: Service, kind: str):
    job = await service.post()
    response = await service.client.get(job["urls"][kind])
    assert_problem(response, 404, "audio_not_found")
    assert response.headers["retry-after"]


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_a_lost_sound_is_gone(service: Service, sung: dict, kind: str):
    job = service.store.get(sung["id"])
    for output in job.outputs:
        service.artifacts.path(job.id, output.name).unlink()
    assert_problem(await service.client.get(sung["urls"][kind]), 410, "file_gone")


@pytest.mark.parametrize("kind", ["peaks", "spectrogram"])
async def test_a_sound_that_is_none_is_a_problem(service: Service, sung: dict, kind: str):
    job = service.store.get(sung["id"])
    for output in job.outputs:
        service.artifacts.path(job.id, output.name).write_bytes(b"this is no sound")
    response = await service.client.get(sung["urls"][kind])
    assert_problem(response, 500, "encoding_failed")
    assert not [name for name in service.left_behind() if name.endswith((".dat", ".npz"))]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("peaks", {"points": 0}),
        ("peaks", {"points": 1_000_000}),
        ("peaks", {"points": "many"}),
        ("peaks", {"format": "svg"}),
        ("peaks", {"bits": 12}),
        ("peaks", {"level": "finest"}),
        ("peaks", {"sample": -1}),
        ("peaks", {"width": 100}),
        ("spectrogram", {"width": 15}),
        ("spectrogram", {"width": 100_000}),
        ("spectrogram", {"height": 0}),
        ("spectrogram", {"points": 5}),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    service: Service, sung: dict, kind: str, params: dict
):
    response = await service.client.get(sung["urls"][kind], params=params)
    assert_problem(response, 422, "invalid_request")


async def test_both_go_with_their_job(service: Service, sung: dict):
    await service.client.get(sung["urls"]["peaks"])
    await service.client.get(sung["urls"]["spectrogram"])
    await service.client.delete(sung["urls"]["self"], params={"permanent": "true"})
    assert not [name for name in service.left_behind() if sung["id"] in name]
