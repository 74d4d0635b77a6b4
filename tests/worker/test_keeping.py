"""Writes one after the other, on a thread of their own."""

import threading

import pytest

from worker.song.writer import OrderedWriter


@pytest.fixture
def keeper():
    made = OrderedWriter("a song", threading.Event())
    yield made
    made.close()


def refuse():
    raise OSError("no room")


def test_nothing_is_written_after_a_write_that_failed(keeper):
    done = []
    keeper.put(lambda: done.append(1))
    keeper.put(refuse)
    keeper.put(lambda: done.append(3))
    with pytest.raises(OSError, match="no room"):
        keeper.flush()
    assert done == [1]
    with pytest.raises(OSError, match="no room"):
        keeper.check()


def test_what_is_prepared_beside_others_is_written_in_turn(keeper):
    first, second = threading.Event(), threading.Event()
    done = []

    def prepare_first():
        assert second.wait(60.0), "the second is prepared before the first is"
        return "first"

    keeper.put_in_two(prepare_first, done.append)
    keeper.put_in_two(lambda: second.set() or "second", done.append)
    keeper.flush()
    assert done == ["first", "second"]
    keeper.put_in_two(refuse, done.append)
    keeper.put_in_two(first.set, done.append)
    with pytest.raises(OSError, match="no room"):
        keeper.flush()
    assert done == ["first", "second"]


def test_a_write_that_another_thread_puts_at_the_same_time_waits_for_the_one_before(
    keeper, monkeypatch
):
    """The other comes when the first is in line, and nobody has noted yet that it is the last."""
    done, submit = [], keeper._threads.submit
    other = threading.Thread(target=lambda: keeper.put(lambda: done.append("other")))

    def submit_slowly(write):
        future = submit(write)
        if other.ident is None:
            other.start()
            other.join(1.0)
        return future

    monkeypatch.setattr(keeper._threads, "submit", submit_slowly)
    keeper.put(refuse)
    other.join()
    with pytest.raises(OSError, match="no room"):
        keeper.flush()
    keeper.close()
    assert done == []
