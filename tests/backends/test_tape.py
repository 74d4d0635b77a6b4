"""The stand-in for a CUDA graph refuses what a capture refuses, and holds on to memory as one."""

import pytest
import torch

from tests.backends.tape import NotCapturable, TapeCapturer


@pytest.fixture
def memory():
    return torch.arange(6.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
        lambda x: float(x.sum()),
        lambda x: x.to("cpu"),
        lambda x: x if x.sum() > 3 else -x,
        lambda x: torch.equal(x, x),
    ],
)
def test_a_step_that_asks_for_a_value_is_refused(memory, ask):
    with pytest.raises(NotCapturable):
        TapeCapturer().capture(lambda: ask(memory))


@pytest.mark.parametrize(
    "shape", [torch.nonzero, lambda x: x[x > 2], lambda x: x.masked_select(x > 2), torch.unique]
)
def test_a_shape_that_depends_on_data_is_refused(memory, shape):
    with pytest.raises(NotCapturable, match="depends on data"):
        TapeCapturer().capture(lambda: shape(memory))


@pytest.mark.parametrize(
    "make", [lambda x: x + torch.tensor([1.0]), lambda x: torch.where(x > 2, x, 0.5)]
)
def test_numbers_from_the_host_are_refused(memory, make):
    with pytest.raises(NotCapturable, match="from the host"):
        TapeCapturer().capture(lambda: make(memory))


def test_a_replay_works_on_what_is_in_the_memory_now(memory):
    index = torch.tensor([0, 5])
    replay, output = TapeCapturer().capture(lambda: memory[index].mul_(2).reshape(2, 1) + 1)
    memory.fill_(7.0)
    replay()
    assert output.tolist() == [[15.0], [15.0]]
    index.fill_(3)
    memory[3] = 1.0
    replay()
    assert output.tolist() == [[3.0], [3.0]]


def test_what_is_written_in_place_counts_on(memory):
    replay, _ = TapeCapturer().capture(lambda: memory.add_(memory * 0 + 1))
    before = memory.clone()
    replay()
    replay()
    assert torch.equal(memory, before + 2)


def test_memory_that_has_moved_is_found_out(memory):
    replay, _ = TapeCapturer().capture(lambda: memory * 2)
    memory.data = memory.data.clone()
    with pytest.raises(RuntimeError, match="has moved"):
        replay()


def test_what_a_step_made_for_itself_is_gone_after_a_replay(memory):
    made = []

    def step():
        made.append(memory + 1)
        return made[0] * 2

    replay, output = TapeCapturer().capture(step)
    replay()
    assert output.tolist() == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert made[0].isnan().all()


def test_what_is_kept_from_the_capture_is_nonsense_in_a_replay(memory):
    kept = []

    def step():
        if not kept:
            kept.append(memory.clone())
            kept.append(memory * 2)
        return kept[1] + memory

    TapeCapturer().capture(step)
    replay, output = TapeCapturer().capture(step)  # as a step that remembers the one before
    replay()
    assert output.isnan().all()
