"""Everything of a job as one ZIP file, sent while it is made."""

import hashlib
import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web.zip_stream import ZipEntry, zip_chunks, zip_num_bytes
from jobs.api_keys import ApiKeyFile
from jobs.files.artifacts import alignment_name
from jobs.record.job import Stage
from jukebox_core.alignment.formats import to_json
from tests.api.conftest import Service, assert_problem
from tests.api.test_download_tags import name_of, renamed, times
from tests.api.test_signed_urls import bearer, finished

MOMENT = datetime(2026, 11, 30, 12, 30, 14, tzinfo=UTC)


@given(
    st.lists(
        st.tuples(st.text("aé雨 .", min_size=1, max_size=9), st.binary(max_size=2000)),
        max_size=6,
        unique_by=lambda entry: entry[0],
    )
)
def test_the_length_is_known_before_the_first_byte(contents: list[tuple[str, bytes]]):
    entries = [ZipEntry.of_bytes(name, content) for name, content in contents]
    data = b"".join(zip_chunks(entries, MOMENT))
    assert len(data) == zip_num_bytes(entries)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [(each.filename, archive.read(each)) for each in archive.infolist()] == contents
        assert all(each.compress_type == zipfile.ZIP_STORED for each in archive.infolist())
        assert all(each.date_time == (2026, 11, 30, 12, 30, 14) for each in archive.infolist())


@given(st.lists(st.integers(0, 3000), max_size=6), st.integers(1, 5000))
def test_zip64_is_used_where_it_is_needed(sizes: list[int], limit: int):
    entries = [ZipEntry.of_bytes(f"{n}.wav", b"x" * size) for n, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", limit)
        data = b"".join(zip_chunks(entries, MOMENT))
        assert len(data) == zip_num_bytes(entries)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [each.file_size for each in archive.infolist()] == sizes


def test_a_large_file_passes_in_chunks(tmp_path: Path):
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.truncate(20_000_000)
    entry = ZipEntry(name="a.wav", num_bytes=20_000_000, open=lambda: path.open("rb"))
    sizes = [len(chunk) for chunk in zip_chunks([entry], MOMENT)]
    assert max(sizes) < 300_000
    assert sum(sizes) == zip_num_bytes([entry])


def test_a_file_that_became_shorter_ends_the_archive():
    entry = ZipEntry(name="a.wav", num_bytes=10, open=lambda: io.BytesIO(b"short"))
    with pytest.raises(OSError, match="ends 5 bytes before its end"):
        list(zip_chunks([entry], MOMENT))


def test_unzip_reads_it(tmp_path: Path):
    entries = [ZipEntry.of_bytes("雨.txt", b"rain"), ZipEntry.of_bytes("b.txt", b"")]
    (tmp_path / "a.zip").write_bytes(b"".join(zip_chunks(entries, MOMENT)))
    command = ["python3", "-m", "zipfile", "-e", "a.zip", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "out" / "雨.txt").read_bytes() == b"rain"


def files_of(response: httpx.Response) -> dict[str, bytes]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    assert int(response.headers["content-length"]) == len(response.content)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
async def sung(service: Service) -> dict:
    job = await service.post(num_samples=2, title="Rain", lyrics="hello\nthere")
    service.worker.sing(job["id"])
    return (await service.client.get(job["urls"]["self"])).json()


@pytest.mark.anyio
@pytest.mark.redis
class TestService:
    async def test_it_has_takes_lyrics_codes_and_the_job(self, service: Service, sung: dict):
        with service.artifacts.new_file(sung["id"], alignment_name(1)) as path:
            path.write_text(to_json(times()))
        response = await service.client.get(sung["urls"]["archive"])
        assert name_of(response) == "Rain.zip"
        files = files_of(response)
        assert sorted(files) == [
            "Rain (take 2).lrc",
            "Rain (take 2).wav",
            "Rain.safetensors",
            "Rain.txt",
            "Rain.wav",
            "job.json",
        ]
        hashes = {o["sample"]: o["sha256"] for o in sung["outputs"] if o["level"] == "bottom"}
        assert hashlib.sha256(files["Rain.wav"]).hexdigest() == hashes[0]
        assert hashlib.sha256(files["Rain (take 2).wav"]).hexdigest() == hashes[1]
        assert files["Rain.txt"] == b"hello\nthere\n"
        assert files["Rain (take 2).lrc"].startswith(b"[ti:Rain]\n[ar:The Sawtooths]\n")
        codes = await service.client.get(sung["urls"]["codes"])
        assert files["Rain.safetensors"] == codes.content
        assert json.loads(files["job.json"]) == sung

    async def test_all_levels_in_another_format_if_wanted(self, service: Service, sung: dict):
        params = {"levels": "all", "format": "mp3"}
        files = files_of(await service.client.get(sung["urls"]["archive"], params=params))
        takes = ("", " (middle)", " (top)", " (take 2)", " (take 2, middle)", " (take 2, top)")
        mp3s = [name for name in files if name.endswith(".mp3")]
        assert sorted(mp3s) == sorted(f"Rain{take}.mp3" for take in takes)
        params = {"format": "mp3", "sample": 1}
        alone = await service.client.get(sung["urls"]["audio"], params=params)
        assert files["Rain (take 2).mp3"] == alone.content

    async def test_what_the_client_has_is_not_sent_again(self, service: Service, sung: dict):
        url = sung["urls"]["archive"]
        first = await service.client.get(url)
        again = await service.client.get(url)
        assert again.content == first.content
        known = {"if-none-match": first.headers["etag"]}
        assert (await service.client.get(url, headers=known)).status_code == 304
        await renamed(service, sung, "Sun")
        other = await service.client.get(url, headers=known)
        assert other.headers["etag"] != first.headers["etag"]
        assert "Sun.wav" in files_of(other)

    async def test_head_tells_all_but_the_content(self, service: Service, sung: dict):
        whole = await service.client.get(sung["urls"]["archive"])
        head = await service.client.head(sung["urls"]["archive"])
        assert head.status_code == 200
        assert head.content == b""
        for name in ("etag", "content-length", "content-type", "content-disposition"):
            assert head.headers[name] == whole.headers[name]

    async def test_a_draft_can_be_had_while_the_rest_is_drawn(self, service: Service):
        job = await service.post(title="Rain", lyrics=None)
        assert_problem(await service.client.get(job["urls"]["archive"]), 404, "audio_not_found")
        service.worker.finish_level(service.worker.claim(job["id"], Stage.TOP))
        files = files_of(await service.client.get(job["urls"]["archive"]))
        assert sorted(files) == ["Rain (top).wav", "Rain.safetensors", "job.json"]

    async def test_lost_files_are_gone(self, service: Service, sung: dict):
        for output in service.store.get(sung["id"]).outputs:
            service.artifacts.path(sung["id"], output.name).unlink()
        assert_problem(await service.client.get(sung["urls"]["archive"]), 410, "file_gone")

    @pytest.mark.parametrize("params", [{"levels": "top"}, {"format": "zip"}, {"sample": 0}])
    async def test_a_query_that_makes_no_sense_is_refused(
        self, service: Service, sung: dict, params: dict
    ):
        response = await service.client.get(sung["urls"]["archive"], params=params)
        assert_problem(response, 422, "invalid_request")

    async def test_it_has_no_urls_that_need_no_key(self, service: Service):
        alice = bearer(ApiKeyFile(service.data_dir), "alice")
        job = await finished(service, alice)
        response = await service.client.get(job["urls"]["archive"], headers=alice)
        shown = files_of(response)["job.json"]
        assert b"signature=" not in shown
        assert json.loads(shown)["urls"]["signed"] is None
