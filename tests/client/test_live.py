"""Sound that is heard while it is made, over connections that break."""

import struct

import pytest

from jukebox_client import InvalidRequest, NotFound, ServiceUnreachable
from tests.fixtures.scripted_service import Answer, problem

PATH = "/jobs/job_1/live"
RATE_HZ = 8000
CHANNELS = 2
UNKNOWN = 0xFFFFFFFF
HEADER = (
    struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE")
    + struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, CHANNELS, RATE_HZ, 4 * RATE_HZ, 4, 16)
    + struct.pack("<4sI", b"data", UNKNOWN)
)
FRAMES = b"".join(struct.pack("<hh", n, -n) for n in range(3000))


def serve(service, breaks_after, *, first_frame=0):
    """The song from `start_seconds`; each number of bytes breaks one answer."""
    cuts = list(breaks_after)

    def answer(_headers):
        query = service.requests[-1][1].partition("start_seconds=")[2]
        start = round(float(query or 0) * RATE_HZ)
        body = HEADER + FRAMES[4 * start :]
        if cuts:
            return Answer(body[: cuts.pop(0)], 200, declared_bytes=len(body))
        return Answer(body, 200)

    service.on("GET", PATH, answer)


@pytest.mark.parametrize("breaks_after", [[], [1000], [45, 1001, 50], [43 + 400], [44, 44]])
def test_a_broken_stream_goes_on_at_the_sample_where_it_broke(service, client, breaks_after):
    serve(service, breaks_after)
    assert b"".join(client.stream_audio("job_1")) == HEADER + FRAMES
    assert len(service.asked("GET", PATH)) == len(breaks_after) + 1


def test_a_stream_from_the_middle_goes_on_from_there(service, client):
    serve(service, [2001])
    heard = b"".join(client.stream_audio("job_1", start_seconds=0.1))
    assert heard == HEADER + FRAMES[4 * 800 :]
    assert "start_seconds=0.161125" in service.requests[-1][1]


def test_a_stream_that_broke_behind_the_last_sample_ends(service, client):
    whole = Answer(HEADER + FRAMES, 200, declared_bytes=len(HEADER + FRAMES) + 1)
    service.on("GET", PATH, [whole, problem(422, "invalid_request", "less than the song")])
    assert b"".join(client.stream_audio("job_1")) == HEADER + FRAMES


def test_a_stream_bears_a_service_that_is_away_for_a_moment(service, client, slept):
    cut = Answer((HEADER + FRAMES)[:444], 200, declared_bytes=99999)
    rest = Answer(HEADER + FRAMES[400:], 200)
    service.on("GET", PATH, [cut, problem(503, "store_unavailable", "no store"), rest])
    assert b"".join(client.stream_audio("job_1")) == HEADER + FRAMES
    assert slept == [1.0, 1.0]


def test_a_stream_that_is_refused_is_told_at_once(service, client):
    service.on("GET", PATH, problem(404, "job_not_found", "no such job"))
    with pytest.raises(NotFound):
        list(client.stream_audio("job_1"))
    service.on("GET", PATH, problem(422, "invalid_request", "less than the song"))
    with pytest.raises(InvalidRequest):
        list(client.stream_audio("job_1", start_seconds=1e9))


def test_ogg_cannot_go_on_by_itself(service, client):
    service.on("GET", PATH, Answer(b"OggS", 200, declared_bytes=100))
    with pytest.raises(ServiceUnreachable):
        list(client.stream_audio("job_1", format="ogg"))
