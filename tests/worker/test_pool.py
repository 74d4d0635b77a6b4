"""Celery's loop is told when a thread is free, and does not wait for a timer to look."""

import threading

import pytest
from kombu.asynchronous import Hub

from worker.celery_pool import WakingPool


@pytest.fixture
def pool():
    made = WakingPool(limit=1)
    made.on_start()
    yield made
    made.on_stop()


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.close()


def run(hub, *, until):
    """Let the loop turn: it ends by what happens, for each of its turns lasts a second at most."""
    loop = hub.create_loop()
    for _ in range(30):
        if until():
            return
        next(loop)


def test_the_loop_wakes_when_a_task_has_ended_with_all_that_belongs_to_its_end(hub):
    told, ended = [], []

    class Listening(WakingPool):
        def _hear(self):
            super()._hear()
            told.append(list(ended))

    listening = Listening(limit=1)
    listening.register_with_event_loop(hub)
    go_on = threading.Event()
    listening.on_apply(go_on.wait, (), {}, callback=ended.append)
    assert told == []
    go_on.set()
    run(hub, until=lambda: told)
    assert told == [[True]], "by then Celery counts the task no more"
    listening.on_stop()


def test_many_ends_that_nobody_listens_to_block_no_thread(pool):
    results = [pool.on_apply(int, (), {}, callback=lambda _: None) for _ in range(2000)]
    assert [result.get() for result in results[-3:]] == [None] * 3


def test_a_task_that_fails_wakes_the_loop_as_well(hub):
    told = threading.Event()

    class Listening(WakingPool):
        def _hear(self):
            super()._hear()
            told.set()

    listening = Listening(limit=1)
    listening.register_with_event_loop(hub)

    def fail(_):
        raise ValueError

    listening.on_apply(int, (), {}, callback=fail)
    run(hub, until=told.is_set)
    assert told.is_set()
    listening.on_stop()
