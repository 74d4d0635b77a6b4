"""Slow work is shared out between API keys."""

import asyncio
import threading

import pytest

from api.web.fair_slots import FairSlots

pytestmark = pytest.mark.anyio


async def begun(condition) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_key_that_comes_later_is_served_before_the_queue_of_another():
    slots, gates, order = FairSlots(2), [threading.Event() for _ in range(8)], []

    def work(owner, gate):
        order.append(owner)
        gate.wait(30)

    async with asyncio.TaskGroup() as group:
        for gate in gates[:6]:
            group.create_task(slots.run("greedy", work, "greedy", gate))
        await begun(lambda: len(order) == 2 and slots.num_waiting == 4)
        for gate in gates[6:]:
            group.create_task(slots.run("modest", work, "modest", gate))
        await begun(lambda: slots.num_waiting == 6)
        gates[0].set()
        await begun(lambda: len(order) == 3)
        assert order[-1] == "modest"
        # One slot each while both wait.
        gates[1].set()
        await begun(lambda: len(order) == 4)
        assert order[-1] == "greedy"
        for gate in gates:
            gate.set()
    assert sorted(order) == ["greedy"] * 6 + ["modest"] * 2
    assert slots.num_waiting == 0


async def test_a_caller_that_stops_waiting_takes_no_slot_along():
    slots, gate = FairSlots(1), threading.Event()
    first = asyncio.create_task(slots.run("a", gate.wait, 30))
    waiting = asyncio.create_task(slots.run("b", gate.wait, 30))
    await begun(lambda: slots.num_waiting == 1)
    waiting.cancel()
    gate.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await slots.run("c", lambda: "served") == "served"


async def test_an_error_gives_the_slot_back():
    slots = FairSlots(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await slots.run("a", lambda: 1 // 0)
    assert await slots.run("a", lambda: 7) == 7
