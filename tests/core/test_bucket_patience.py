"""How long a bucket that is away is asked for the rest of an object."""

from types import SimpleNamespace

import pytest

from jukebox_core.buckets import Bucket, BucketUrl
from jukebox_core.buckets.bucket import StoredObject
from jukebox_core.errors import BucketError

OBJECT = StoredObject(key="a.wav", num_bytes=100, etag='"1"', changed_at=0.0)


class Away(Bucket):
    """Answers after `answer_sec` of a pretended time: some bytes, then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer_sec: float):
        super().__init__(BucketUrl("s3://nobody-asks/it"), patience_sec=60.0)
        self.now_sec, self.num_requests, self._answer_sec = 0.0, 0, answer_sec
        clock = SimpleNamespace(monotonic=lambda: self.now_sec)
        monkeypatch.setattr("jukebox_core.buckets.bucket.time", clock)

    def read_on(self, key, start, etag, *, end=None):
        self.num_requests += 1
        self.now_sec += self._answer_sec
        if self.num_requests == 1:
            yield b"first"
        raise BucketError("away", may_pass=True)


@pytest.fixture
def read(monkeypatch):
    """Reads an object of a bucket that is soon away; returns how often it was asked."""

    def read(answer_sec: float, reader_sec: float) -> int:
        bucket, got = Away(monkeypatch, answer_sec), []
        try:
            for chunk in bucket.read_range(OBJECT, 0, 100):
                got.append(chunk)
                bucket.now_sec += reader_sec
        except BucketError as error:
            got.append(str(error))
        assert got == [b"first", "away"]
        return bucket.num_requests

    return read


@pytest.mark.parametrize(("answer_sec", "num_requests"), [(61.0, 2), (40.0, 3), (1.0, 4)])
def test_a_bucket_is_away_when_patience_ends_however_often_it_was_asked(
    read, answer_sec, num_requests
):
    assert read(answer_sec, 0.0) == num_requests


def test_the_time_that_a_reader_takes_is_not_counted(read):
    assert read(1.0, 3600.0) == 4
