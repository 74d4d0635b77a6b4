"""Every way to begin a song, through HTTP, with a real worker."""

import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load, save

from cli.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

TOP_TOKEN_SEC = 256 / 16_000
SONG = {"model": "tiny", "artist": "The Sawtooths", "genre": "drone", "lyrics": "one two\nthree"}


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=300.0) as client:
        yield client


def sung(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """A job that succeeded."""
    response = http.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    job, deadline = response.json(), time.monotonic() + 300.0
    while job["status"] not in ("succeeded", "failed", "canceled"):
        assert time.monotonic() < deadline, job["progress"]
        job = http.get(job["urls"]["self"], params={"wait": 10}).json()
    assert job["status"] == "succeeded", job["error"]
    assert job["progress"]["value"] == 1.0
    return job


def codes_of(http: httpx.Client, job: dict[str, Any]) -> dict[str, np.ndarray]:
    response = http.get(job["urls"]["codes"])
    assert response.status_code == 200, response.text
    return load(response.content)


def sound_of(http: httpx.Client, job: dict[str, Any], **params: Any) -> np.ndarray:
    response = http.get(job["urls"]["audio"], params={"format": "wav", **params})
    assert response.status_code == 200, response.text
    samples, rate_hz = soundfile.read(io.BytesIO(response.content))
    assert rate_hz == 16_000
    return samples


def sent(http: httpx.Client, content: bytes, name: str) -> dict[str, Any]:
    response = http.post("/assets", files={"file": (name, content)})
    assert response.status_code == 201, response.text
    return response.json()


def tone(seconds: float, rate_hz: int) -> bytes:
    file = io.BytesIO()
    wave = 0.4 * np.sin(2 * np.pi * 330 * np.arange(round(seconds * rate_hz)) / rate_hz)
    soundfile.write(file, wave, rate_hz, format="FLAC")
    return file.getvalue()


def test_a_song_begins_with_a_recording(http):
    asset = sent(http, tone(2.0, 44_100), "tone.flac")
    prompt = {"asset_id": asset["id"], "start_seconds": 0.5, "seconds": 0.64}
    body = {**SONG, "mode": "primed", "prompt": prompt, "duration_seconds": 1.28, "seed": 3}
    one, two = sung(http, **body), sung(http, **body, num_samples=2)
    codes, more = codes_of(http, one), codes_of(http, two)
    assert {level: rows.shape for level, rows in codes.items()} == {
        "top": (1, 80),
        "middle": (1, 320),
        "bottom": (1, 1280),
    }
    for level, kept in (("top", 40), ("middle", 160), ("bottom", 640)):
        np.testing.assert_array_equal(more[level][0], codes[level][0])
        np.testing.assert_array_equal(more[level][1, :kept], codes[level][0, :kept])
        assert (more[level][1, kept:] != codes[level][0, kept:]).any()
    assert len(sound_of(http, one)) == 1.28 * 16_000


def test_a_song_goes_on_step_by_step_and_nothing_kept_is_changed(http):
    first = sung(http, **SONG, duration_seconds=0.8, seed=1, num_samples=2, levels=["top"])
    step = {"mode": "continue", "duration_seconds": 0.32}
    second = sung(http, **step, parent_id=first["id"], sample=1, cut_seconds=0.64)
    third = sung(http, **step, parent_id=second["id"], levels=["top", "middle", "bottom"])
    assert http.delete(first["urls"]["self"]).status_code == 204
    start, middle, end = (codes_of(http, job) for job in (second, second, third))
    np.testing.assert_array_equal(end["top"][:, :60], middle["top"])
    assert start["top"].shape == (1, 60)
    assert {level: rows.shape[1] for level, rows in end.items()} == {
        "top": 80,
        "middle": 320,
        "bottom": 1280,
    }
    assert [job["id"] for job in http.get(second["urls"]["children"]).json()["data"]] == [
        third["id"]
    ]
    assert http.get("/jobs", params={"root": first["id"]}).json()["data"][0]["id"] == third["id"]
    assert (third["parent_id"], third["root_id"]) == (second["id"], first["id"])


def test_a_draft_becomes_a_song_with_other_labels(http):
    draft = sung(http, **SONG, duration_seconds=0.8, seed=1, num_samples=2, levels=["top"])
    job = sung(http, mode="upsample", parent_id=draft["id"], sample=1, genre="polka")
    codes = codes_of(http, job)
    np.testing.assert_array_equal(codes["top"], codes_of(http, draft)["top"][1:])
    assert codes["bottom"].shape == (1, 800)
    assert len(sound_of(http, job)) == 0.8 * 16_000
    assert job["labels"]["bottom"]["genres"][0]["name"] == "polka"


def test_codes_leave_and_come_back(http):
    song = sung(http, **SONG, duration_seconds=0.8, seed=1)
    codes = codes_of(http, song)
    asset = sent(http, save({"top": codes["top"]}), "codes.safetensors")
    body = {**SONG, "prompt": {"asset_id": asset["id"]}, "seed": 1}
    again = codes_of(http, sung(http, **body, mode="upsample"))
    # The same seed, labels and codes above draw the same codes below.
    for level in ("top", "middle", "bottom"):
        np.testing.assert_array_equal(again[level], codes[level])


def test_the_lyrics_of_a_song_have_times(http):
    job = sung(http, **SONG, duration_seconds=1.6, seed=1)
    times = http.get(job["urls"]["alignment"])
    assert times.status_code == 200, times.text
    assert [word["text"] for word in times.json()["words"]] == ["one", "two", "three"]
    assert times.json()["duration_seconds"] == pytest.approx(1.6)
    captions = http.get(job["urls"]["alignment"], params={"format": "vtt"})
    assert captions.text.startswith("WEBVTT")
