"""Stereo over HTTP: what may be asked for, what is inherited, and what comes back."""

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from redis import Redis
from safetensors import numpy as safetensors

from jobs.store.scripts import record_key
from tests.api.conftest import Service, assert_problem, song
from tests.api.sounds import codes_file, send, sent
from tests.api.test_modes import accepted, draft, prompt_codes, refused, sung

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

GENRES = {"left": "polka", "right": "drone"}


async def stereo(service: Service, **changes: Any) -> dict[str, Any]:
    return await sung(service, channels=2, num_samples=2, **changes)


async def test_a_stereo_job_says_so_in_its_input_and_its_outputs(service: Service):
    job = await stereo(service)
    now = (await service.client.get(f"/jobs/{job['id']}")).json()
    assert now["input"]["channels"] == 2
    assert {output["channels"] for output in now["outputs"]} == {2}
    mono = await sung(service)
    assert mono["input"]["channels"] == 1
    assert mono["input"]["stereo_genres"] is None


@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg", "mp3"])
async def test_both_channels_come_in_every_format(service: Service, audio_format: str):
    job = await stereo(service)
    response = await service.client.get(
        f"/jobs/{job['id']}/audio", params={"format": audio_format, "sample": 1}
    )
    sound, _ = soundfile.read(io.BytesIO(response.content))
    left, right = np.sqrt((sound[1000:-1000] ** 2).mean(axis=0))
    assert right == pytest.approx(left / 2, rel=0.1)


async def test_the_codes_of_both_channels_come_as_one_file(service: Service):
    job = await stereo(service)
    response = await service.client.get(f"/jobs/{job['id']}/codes")
    codes = safetensors.load(response.content)
    assert {level: len(rows) for level, rows in codes.items()} == {
        "top": 2,
        "middle": 4,
        "bottom": 4,
    }
    asset = await sent(service, response.content, "codes.safetensors")
    assert (asset["num_samples"], asset["channels"]) == (2, 2)
    body = {"mode": "continue", "prompt": {"asset_id": asset["id"]}, "duration_seconds": 1}
    job = await accepted(service, **body, model="tiny", artist="", genre="", sample=1)
    assert job["input"]["channels"] == 2
    kept = prompt_codes(service, job)
    for level, rows in kept.items():
        np.testing.assert_array_equal(rows, codes[level][1::2])


@pytest.mark.parametrize("value", [0, 3, "2", 1.5, True, [2]])
async def test_other_numbers_of_channels_are_refused(service: Service, value: Any):
    await refused(service, "/channels", **song(channels=value))


async def test_genres_of_channels_need_channels(service: Service):
    detail = await refused(service, "/stereo_genres", **song(stereo_genres=GENRES))
    assert "channels" in detail
    await refused(service, "/stereo_genres/middle", **song(stereo_genres={"middle": "polka"}))
    await refused(
        service, "/stereo_genres/left", **song(channels=2, stereo_genres={"left": "x" * 201})
    )


async def test_genres_of_channels_are_resolved_and_misspelt_ones_are_warned_of(service: Service):
    body = song(channels=2, stereo_genres={"left": "polka", "right": "dronne"})
    job = await accepted(service, **body)
    assert "stereo_genres" not in job["labels"]["top"]
    for level in ("middle", "bottom"):
        genres = job["labels"][level]["stereo_genres"]
        assert [genre["known"] for genre in genres["left"]] == [True]
        assert [genre["known"] for genre in genres["right"]] == [False]
    (warning,) = job["warnings"]
    assert (warning["code"], warning["pointer"]) == ("genre_unknown", "/stereo_genres/right")
    assert "did you mean drone" in warning["detail"]


async def test_a_song_that_goes_on_has_the_channels_and_genres_of_its_parent(service: Service):
    parent = await stereo(service, stereo_genres=GENRES)
    job = await accepted(service, mode="continue", parent_id=parent["id"], duration_seconds=1)
    assert (job["input"]["channels"], job["input"]["stereo_genres"]) == (2, GENRES)
    other = await accepted(
        service, mode="continue", parent_id=parent["id"], duration_seconds=1, genre="polka"
    )
    assert (other["input"]["channels"], other["input"]["stereo_genres"]) == (2, None)
    codes = safetensors.load((await service.client.get(f"/jobs/{parent['id']}/codes")).content)
    for level, rows in prompt_codes(service, job).items():
        np.testing.assert_array_equal(rows, codes[level])


async def test_a_mono_song_goes_on_from_the_left_channel(service: Service):
    parent = await stereo(service, stereo_genres=GENRES)
    codes = safetensors.load((await service.client.get(f"/jobs/{parent['id']}/codes")).content)
    job = await accepted(
        service, mode="continue", parent_id=parent["id"], duration_seconds=1, channels=1
    )
    assert (job["input"]["channels"], job["input"]["stereo_genres"]) == (1, None)
    for level, rows in prompt_codes(service, job).items():
        np.testing.assert_array_equal(rows, codes[level][:2])


async def test_a_mono_draft_is_upsampled_in_stereo(service: Service):
    parent = await draft(service)
    job = await accepted(
        service, mode="upsample", parent_id=parent["id"], channels=2, stereo_genres=GENRES
    )
    assert job["input"]["channels"] == 2
    service.worker.sing(job["id"])
    now = (await service.client.get(f"/jobs/{job['id']}")).json()
    assert now["outputs"][-1]["channels"] == 2


async def test_codes_of_odd_rows_are_refused(service: Service):
    three = safetensors.load(codes_file(levels=3, channels=2))
    three["middle"] = three["middle"][:3]
    for broken in (three, safetensors.load(codes_file(levels=3, channels=3))):
        response = await send(service, safetensors.save(broken), "a.safetensors")
        problem = assert_problem(response, 422, "invalid_request")
        assert "two for each song in stereo" in problem["errors"][0]["detail"]
    mixed = safetensors.load(codes_file(levels=3, channels=2))
    mixed["bottom"] = mixed["bottom"][:2]
    response = await send(service, safetensors.save(mixed), "a.safetensors")
    assert_problem(response, 422, "invalid_request")
    most = codes_file(16, top=20, levels=3, channels=2)
    assert (await sent(service, most, "a.safetensors"))["channels"] == 2


async def test_a_mono_record_is_as_older_releases_wrote_it(service: Service):
    """They run it: what they do not know is not in it. A stereo job they leave alone."""
    mono, both = await service.post(), await service.post(channels=2)
    with Redis.from_url(service.redis_url, decode_responses=True) as client:
        stored = {
            job["id"]: json.loads(client.hget(record_key(job["id"]), "request") or "")
            for job in (mono, both)
        }
    assert "channels" not in stored[mono["id"]]
    assert stored[mono["id"]].get("stereo_genres") is None
    assert stored[both["id"]]["channels"] == 2


async def test_a_stereo_song_is_twice_the_music(service: Service):
    mono, both = await service.post(), await service.post(channels=2)
    only_top = await service.post(channels=2, levels=["top"])
    seconds = [service.store.get(job["id"]).drawn_audio_sec for job in (mono, both, only_top)]
    assert seconds == [10.0, 20.0, 10.0]
