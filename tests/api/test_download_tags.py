"""Downloads are called and tagged by the song's title, at every moment by its present one."""

import io
import re
from urllib.parse import unquote

import httpx
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import ID3

from api.routes import audio
from jobs.files.artifacts import alignment_name
from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.times import LyricTimes, TimedText
from tests.api.conftest import Service

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


def name_of(response: httpx.Response) -> str:
    match = re.search(r"filename\*=UTF-8''(\S+)$", response.headers["content-disposition"])
    assert match, response.headers
    return unquote(match[1])


@pytest.fixture
async def sung(service: Service) -> dict:
    job = await service.post(num_samples=2, title="Rain", lyrics="hello\nthere")
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"])).json()


def times() -> LyricTimes:
    def word(text: str, first: int, start_sec: float) -> TimedText:
        return TimedText(
            text=text,
            first_character=first,
            start_sec=start_sec,
            end_sec=start_sec + 1.0,
            confidence=1.0,
        )

    words = (word("hello", 0, 0.5), word("there", 6, 2.0))
    return LyricTimes(
        text="hello\nthere", duration_sec=10.0, characters=(), words=words, lines=words
    )


async def renamed(service: Service, job: dict, title: str | None) -> None:
    response = await service.client.patch(job["urls"]["self"], json={"title": title})
    assert response.status_code == 200, response.text


async def test_every_file_is_called_by_the_title(service: Service, sung: dict):
    with service.artifacts.new_file(sung["id"], alignment_name(1)) as path:
        path.write_text(to_json(times()))

    async def name(kind: str, **params: object) -> str:
        return name_of(await service.client.get(sung["urls"][kind], params=params))

    assert await name("audio") == "Rain.wav"
    assert await name("audio", format="mp3", sample=1) == "Rain (take 2).mp3"
    assert await name("audio", level="top") == "Rain (top).wav"
    assert await name("codes") == "Rain.safetensors"
    assert await name("alignment", format="lrc-lines", sample=1) == "Rain (take 2).lrc"
    assert await name("spectrogram") == "Rain.png"


async def test_without_title_the_artist_and_the_id_name_a_file(service: Service, sung: dict):
    await renamed(service, sung, None)
    response = await service.client.get(sung["urls"]["audio"])
    assert name_of(response) == f"The Sawtooths - {sung['id'][:12]}.wav"


async def test_a_title_that_no_file_can_have_makes_a_safe_name(service: Service, sung: dict):
    await renamed(service, sung, "../CON\N{RIGHT-TO-LEFT OVERRIDE}: 雨")
    response = await service.client.get(sung["urls"]["audio"])
    assert name_of(response) == "CON- 雨.wav"
    assert 'filename="CON- Yu.wav"' in response.headers["content-disposition"]


@pytest.mark.parametrize("audio_format", ["mp3", "flac", "ogg"])
async def test_a_download_says_what_it_is(service: Service, sung: dict, audio_format: str):
    params = {"format": audio_format, "sample": 1}
    response = await service.client.get(sung["urls"]["audio"], params=params)
    easy = mutagen.File(io.BytesIO(response.content), easy=True)
    assert easy["title"] == ["Rain"]
    assert easy["artist"] == ["The Sawtooths"]
    assert easy["genre"] == ["drone"]
    assert easy["date"] == [sung["created_at"][:10]]
    text = mutagen.File(io.BytesIO(response.content)).tags.pprint()
    assert "Made with Jukebox" in text
    assert re.search(r"SEED=7\b", text)
    assert re.search(r"MODEL=tiny\b", text)
    assert "hello" in text


async def test_lyrics_have_times_where_they_are_known(service: Service, sung: dict):
    with service.artifacts.new_file(sung["id"], alignment_name(0)) as path:
        path.write_text(to_json(times()))
    response = await service.client.get(sung["urls"]["audio"], params={"format": "mp3"})
    (synced,) = ID3(io.BytesIO(response.content)).getall("SYLT")
    assert synced.text == [("hello", 500), ("there", 2000)]
    lrc = await service.client.get(sung["urls"]["alignment"], params={"format": "lrc"})
    head = lrc.text.splitlines()[:4]
    assert head == ["[ti:Rain]", "[ar:The Sawtooths]", "[al:Jukebox]", "[length:00:10.00]"]


async def test_a_new_title_is_in_the_next_download_with_a_new_etag(service: Service, sung: dict):
    url, params = sung["urls"]["audio"], {"format": "ogg"}
    before = await service.client.get(url, params=params)
    again = await service.client.get(url, params=params)
    assert again.headers["etag"] == before.headers["etag"]
    await renamed(service, sung, "Sun")
    after = await service.client.get(url, params=params)
    assert after.headers["etag"] != before.headers["etag"]
    assert mutagen.File(io.BytesIO(after.content))["title"] == ["Sun"]
    sounds = [soundfile.read(io.BytesIO(each.content))[0] for each in (before, after)]
    np.testing.assert_array_equal(*sounds)
    known = {"if-none-match": before.headers["etag"]}
    assert (await service.client.get(url, params=params, headers=known)).status_code == 200


async def test_a_range_of_the_old_title_brings_the_whole_of_the_new(service: Service, sung: dict):
    url, params = sung["urls"]["audio"], {"format": "mp3"}
    before = await service.client.get(url, params=params)
    resume = {"range": "bytes=100-", "if-range": before.headers["etag"]}
    part = await service.client.get(url, params=params, headers=resume)
    assert part.status_code == 206
    assert before.content[:100] + part.content == before.content
    await renamed(service, sung, "A title that is longer")
    whole = await service.client.get(url, params=params, headers=resume)
    assert whole.status_code == 200
    assert whole.headers["etag"] != before.headers["etag"]


async def test_the_wav_is_the_file_that_the_job_lists_whatever_its_title(
    service: Service, sung: dict
):
    output = next(each for each in sung["outputs"] if each["level"] == "bottom")
    await renamed(service, sung, "Sun")
    response = await service.client.get(output["url"])
    assert response.headers["etag"] == f'"{output["sha256"]}"'
    assert len(response.content) == output["bytes"]


async def test_many_titles_leave_few_files(service: Service, sung: dict):
    url = sung["urls"]["audio"]
    for number in range(6):
        await renamed(service, sung, f"Rain {number}")
        response = await service.client.get(url, params={"format": "flac"})
        assert mutagen.File(io.BytesIO(response.content))["title"] == [f"Rain {number}"]
    flacs = [name for name in service.left_behind() if name.endswith(".flac")]
    assert len(flacs) == 3, "the one without tags, and two with them"


async def test_without_the_extra_files_come_without_tags(
    service: Service, sung: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audio.tags, "is_available", lambda: False)
    response = await service.client.get(sung["urls"]["audio"], params={"format": "mp3"})
    assert response.status_code == 200
    assert "TIT2" not in (mutagen.File(io.BytesIO(response.content)).tags or {})
