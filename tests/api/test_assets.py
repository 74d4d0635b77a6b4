"""What is sent is taken in whole, or refused with a sentence and nothing left behind."""

import asyncio
import hashlib
import resource
import struct

import httpx
import numpy as np
import pytest

from jobs.files.assets import new_asset_id
from tests.api.conftest import Service, assert_problem
from tests.api.sounds import RATE_HZ, codes_file, encoded, send, sent, tone
from tests.fixtures.ids import NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


def header_claiming_years() -> bytes:
    content = bytearray(encoded(tone(), "flac"))
    (word,) = struct.unpack(">Q", content[18:26])
    content[18:26] = struct.pack(">Q", word | 0xF_FFFF_FFFF)
    return bytes(content)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
async def test_a_sound_is_taken_in_and_described(service: Service, suffix: str):
    content = encoded(tone(channels=2), suffix)
    response = await send(service, content, f"My song.{suffix.upper()}")
    assert response.status_code == 201, response.text
    asset = response.json()
    assert response.headers["location"] == asset["urls"]["self"] == f"/assets/{asset['id']}"
    assert asset["object"] == "asset"
    assert (asset["kind"], asset["format"], asset["channels"]) == ("audio", suffix, 2)
    assert asset["sample_rate_hz"] == RATE_HZ
    assert asset["duration_seconds"] == pytest.approx(3.0, abs=0.1)
    assert (asset["sha256"], asset["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert asset["tokens"] is asset["num_samples"] is asset["model"] is None
    assert (await service.client.get(asset["urls"]["self"])).json() == asset


async def test_codes_are_taken_in_and_described(service: Service):
    content = codes_file(levels=2, metadata={"model": "tiny"})
    asset = await sent(service, content, "codes.safetensors")
    assert (asset["kind"], asset["format"], asset["model"]) == ("codes", "safetensors", "tiny")
    assert (asset["num_samples"], asset["tokens"]) == (2, {"top": 300, "middle": 1200})
    assert asset["duration_seconds"] is asset["sample_rate_hz"] is None
    assert asset["channels"] == 1


async def test_the_codes_of_a_job_can_be_sent_back(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    codes = await service.client.get(job["urls"]["codes"])
    asset = await sent(service, codes.content, "codes.safetensors")
    assert asset["model"] == "tiny"
    assert list(asset["tokens"]) == ["top", "middle", "bottom"]


async def test_a_name_that_promises_nothing_is_no_matter(service: Service):
    assert (await sent(service, encoded(tone()), "recording"))["format"] == "wav"
    assert (await sent(service, codes_file(), "x.bin"))["kind"] == "codes"


HOSTILE = {
    "nothing": (b"", "a.wav", "empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(5000), "a.wav", "not sound"),
    "text": (b"la la la " * 1000, "a.mp3", "not sound"),
    "a mislabelled sound": (encoded(tone(), "flac"), "a.wav", "named as wav but contains flac"),
    "mislabelled codes": (codes_file(), "a.mp3", "named as mp3 but contains safetensors"),
    "a sound called codes": (encoded(tone()), "a.safetensors", "named as safetensors"),
    "a cut WAV": (encoded(tone())[:-5000], "a.wav", "breaks off"),
    "a cut FLAC": (encoded(tone(), "flac")[:-3000], "a.flac", "breaks off"),
    "a cut OGG": (encoded(tone(), "ogg")[:-1000], "a.ogg", "breaks off"),
    "silence": (encoded(tone() * 0.0), "a.wav", "silent"),
    "zero length": (encoded(tone(0.0)), "a.wav", "no length"),
    "a header of years": (header_claiming_years(), "a.flac", "longer than 600 s"),
    "a WAV of 4 GB": (
        b"RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff\0\0",
        "a.wav",
        "cannot be read",
    ),
    "too long": (encoded(tone(601, rate_hz=8000), "flac", rate_hz=8000), "a.flac", "601"),
    "nine channels": (encoded(tone(0.1, channels=9)), "a.wav", "9 channels"),
    "a slow rate": (encoded(tone(0.1), rate_hz=4000), "a.wav", "4000 Hz"),
    "only an MP3 frame": (b"\xff\xfb\x90\x00" + bytes(40), "a.mp3", ""),
    "codes without top": (codes_file().replace(b'"top"', b'"pot"'), "a.safetensors", "pot"),
    "cut codes": (codes_file()[:-1], "a.safetensors", "safetensors"),
    "codes of a huge header": (struct.pack("<Q", 2**50) + b"{}", "a.safetensors", "not sound"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_file_that_is_of_no_use_is_refused_and_leaves_nothing(service: Service, name: str):
    content, filename, word = HOSTILE[name]
    problem = assert_problem(await send(service, content, filename), 422, "invalid_request")
    assert [error["pointer"] for error in problem["errors"]] == ["/file"]
    assert word in problem["errors"][0]["detail"]
    assert str(service.data_dir) not in problem["detail"]
    assert service.left_behind() == []
    assert not list((service.data_dir / "assets").glob("*"))


async def test_ten_minutes_of_silence_in_80_kilobytes_cost_little(service: Service):
    content = encoded(np.zeros((600 * 48_000, 1)), "flac", rate_hz=48_000)
    assert len(content) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = assert_problem(await send(service, content, "a.flac"), 422, "invalid_request")
    assert "silent" in problem["detail"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert service.left_behind() == []


async def test_a_body_beyond_the_cap_is_a_413(service: Service):
    content = b"\0" * (64 * 1024 * 1024 + 10_000)
    assert_problem(await send(service, content), 413, "body_too_large")

    async def unannounced():
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        yield head
        for _ in range(65):
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = await service.client.post("/assets", content=unannounced(), headers=headers)
    assert_problem(response, 413, "body_too_large")
    assert service.left_behind() == []


async def test_only_uploads_may_be_large(service: Service):
    for path in ("/jobs", f"/jobs/{NOBODYS_JOB}/cancel"):
        response = await service.client.post(path, content=b" " * 300_000)
        assert_problem(response, 413, "body_too_large")


async def test_behind_a_proxy_uploads_may_be_large_too(service: Service):
    service.client._transport.root_path = "/music"  # type: ignore[attr-defined]
    content = encoded(tone(20))
    assert len(content) > 256 * 1024
    response = await service.client.post("/music/assets", files={"file": ("a.wav", content)})
    assert response.status_code == 201, response.text
    assert response.headers["location"].startswith("/music/assets/asset_")


@pytest.mark.parametrize(
    ("sending", "status", "code"),
    [
        ({"json": {"file": "x"}}, 415, "unsupported_media_type"),
        ({"content": b"RIFF", "headers": {"content-type": "audio/wav"}}, 415, None),
        ({"data": {"file": "x"}}, 415, None),
        ({}, 415, None),
        ({"files": {"sound": ("a.wav", b"x")}}, 422, "invalid_request"),
        ({"files": {"file": (None, b"x")}}, 422, "invalid_request"),
        ({"files": [("file", ("a", b"x")), ("file", ("b", b"x"))]}, 400, "malformed_form"),
        ({"files": {"file": ("a", b"x")}, "data": {"color": "blue"}}, 422, "invalid_request"),
        (
            {"content": b"--y--", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            400,
            "malformed_form",
        ),
        (
            {"content": b"junk", "headers": {"content-type": "multipart/form-data"}},
            400,
            "malformed_form",
        ),
    ],
    ids=[
        "json",
        "raw",
        "urlencoded",
        "empty",
        "another field",
        "no file",
        "two files",
        "a field more",
        "another boundary",
        "no boundary",
    ],
)
async def test_what_is_no_form_with_a_file_is_refused(service, sending, status, code):
    response = await service.client.post("/assets", **sending)
    assert_problem(response, status, code or "unsupported_media_type")
    assert service.left_behind() == []


async def test_a_deleted_asset_is_gone(service: Service):
    asset = await sent(service, encoded(tone()))
    assert (await service.client.delete(asset["urls"]["self"])).status_code == 204
    for method in ("GET", "DELETE"):
        response = await service.client.request(method, asset["urls"]["self"])
        assert_problem(response, 404, "asset_not_found")
    assert service.left_behind() == []


@pytest.mark.parametrize(
    "asset_id", ["x", "%2e%2e%2fx", "asset_1", "asset_" + "G" * 32, "x" * 5000]
)
async def test_what_is_no_id_is_a_404(service: Service, asset_id: str):
    for method in ("GET", "DELETE"):
        response = await service.client.request(method, f"/assets/{asset_id}")
        assert response.status_code == 404
        assert response.json()["code"] in ("asset_not_found", "route_not_found")


async def test_an_unknown_id_is_a_404(service: Service):
    response = await service.client.get(f"/assets/{new_asset_id()}")
    assert_problem(response, 404, "asset_not_found")


async def test_many_uploads_at_once_are_all_taken_in(service: Service):
    content = encoded(tone(0.5))
    assets = await asyncio.gather(*(sent(service, content) for _ in range(6)))
    assert len({asset["id"] for asset in assets}) == 6
    assert len({asset["sha256"] for asset in assets}) == 1


@pytest.mark.parametrize(
    "name",
    ["filename*=UTF-8''lied%20f%C3%BCr.flac", "filename*=iso-8859-1'de'f%FCr.flac"],
    ids=["UTF-8", "Latin-1"],
)
async def test_a_file_may_have_its_name_as_rfc_5987_writes_it(service: Service, name: str):
    content = encoded(tone(3.0), "flac")
    head = f'--x\r\nContent-Disposition: form-data; name="file"; {name}\r\n\r\n'.encode()
    headers = {"content-type": "multipart/form-data; boundary=x"}

    async def posted(content: bytes) -> httpx.Response:
        body = head + content + b"\r\n--x--\r\n"
        return await service.client.post("/assets", content=body, headers=headers)

    response = await posted(content)
    assert response.status_code == 201, response.text
    assert response.json()["format"] == "flac"
    problem = assert_problem(await posted(encoded(tone(3.0))), 422, "invalid_request")
    assert "named as flac but contains wav" in problem["errors"][0]["detail"]
