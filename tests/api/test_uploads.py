"""Uploads that never end, come too slowly, or are left by their client."""

import asyncio
import logging

import pytest
from fastapi import Request

from api.web.errors import ApiError
from api.web.uploads import MAX_UPLOADS, Uploads
from jobs.errors import LimitReached

pytestmark = pytest.mark.anyio

HEADERS = [(b"content-type", b"multipart/form-data; boundary=b")]
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


def request_of(*chunks: bytes, then: str = "wait") -> Request:
    """A request whose body comes in chunks; afterwards it waits for ever, leaves, or ends."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if then == "leave":
        messages.append({"type": "http.disconnect"})
    if then == "end":
        messages[-1]["more_body"] = False

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    scope = {"type": "http", "method": "POST", "headers": HEADERS, "path": "/assets", "app": None}
    return Request(scope, receive)


@pytest.fixture
def closed(monkeypatch) -> list[str]:
    """Names of the temporary files that were closed."""
    from starlette.formparsers import SpooledTemporaryFile

    names = []
    close = SpooledTemporaryFile.close

    def noting(self):
        names.append("closed")
        close(self)

    monkeypatch.setattr(SpooledTemporaryFile, "close", noting)
    return names


async def refused(uploads: Uploads, request: Request) -> ApiError:
    with pytest.raises(ApiError) as error:
        async with uploads.form(request, "key"):
            pass
    return error.value


async def test_an_upload_that_stands_still_is_ended_and_its_file_closed(monkeypatch, closed):
    monkeypatch.setattr("api.web.uploads._GRACE_SEC", 0.05)
    uploads = Uploads(max_per_owner=1, timeout_sec=60.0, min_bytes_per_sec=1e6)
    error = await refused(uploads, request_of(HEAD, b"x" * 1000))
    assert (error.status, error.code) == (408, "upload_too_slow")
    assert closed


async def test_an_upload_that_takes_too_long_in_all_is_ended(closed):
    uploads = Uploads(max_per_owner=1, timeout_sec=0.05, min_bytes_per_sec=1.0)
    error = await refused(uploads, request_of(HEAD, b"x" * 1000))
    assert error.code == "upload_too_slow"
    assert closed


async def test_a_client_that_leaves_is_one_line_at_info(caplog, closed):
    caplog.set_level(logging.INFO)
    uploads = Uploads(max_per_owner=1, timeout_sec=60.0, min_bytes_per_sec=1.0)
    error = await refused(uploads, request_of(HEAD, b"x" * 1000, then="leave"))
    assert error.code == "incomplete_body"
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert closed


async def test_a_whole_upload_is_read_and_its_file_goes_with_the_block(closed):
    uploads = Uploads(max_per_owner=1, timeout_sec=60.0, min_bytes_per_sec=1.0)
    async with uploads.form(request_of(HEAD, b"sound", TAIL, then="end"), "key") as form:
        assert await form["file"].read() == b"sound"
        assert not closed
    assert closed


async def test_one_key_s_uploads_wait_for_each_other_and_not_for_those_of_others():
    uploads = Uploads(max_per_owner=1, timeout_sec=0.2, min_bytes_per_sec=1.0)

    def whole():
        return request_of(HEAD, b"sound", TAIL, then="end")

    async with uploads.form(whole(), "greedy"):
        with pytest.raises(LimitReached) as error:
            async with uploads.form(whole(), "greedy"):
                pass
        assert error.value.code == "too_many_uploads"
        async with uploads.form(whole(), "modest"):
            pass
    async with uploads.form(whole(), "greedy"):
        pass


async def test_what_is_no_form_is_said_to_be_none():
    uploads = Uploads(max_per_owner=0, timeout_sec=60.0, min_bytes_per_sec=1.0)
    error = await refused(uploads, request_of(b"no form", then="end"))
    assert error.code == "malformed_form"


async def test_only_so_many_uploads_are_received_at_a_time_and_a_new_key_is_next():
    uploads = Uploads(max_per_owner=0, timeout_sec=60.0, min_bytes_per_sec=1.0)
    whole = (HEAD + b"x" + TAIL,)
    received, go_on = [], asyncio.Event()

    async def send(owner: str) -> None:
        async with uploads.form(request_of(*whole, then="end"), owner):
            received.append(owner)
            await go_on.wait()

    greedy = [asyncio.create_task(send("greedy")) for _ in range(MAX_UPLOADS + 5)]
    while len(received) < MAX_UPLOADS:
        await asyncio.sleep(0)
    other = asyncio.create_task(send("other"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert received == ["greedy"] * MAX_UPLOADS
    greedy[0].cancel()
    while len(received) == MAX_UPLOADS:
        await asyncio.sleep(0)
    assert received[-1] == "other"
    go_on.set()
    await asyncio.gather(*greedy[1:], other)
