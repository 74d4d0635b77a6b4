"""The measurement of both speeds runs, and says what it promises to say."""

import json

import pytest
import torch

from bench.speeds import change_at, jump_at, main


@pytest.fixture(scope="module")
def figures():
    from contextlib import redirect_stdout
    from io import StringIO

    num_threads, printed = torch.get_num_threads(), StringIO()
    try:
        with redirect_stdout(printed):
            main(["--songs", "1", "--seconds", "3", "--step", "torch"])
    finally:
        torch.set_num_threads(num_threads)
    return json.loads(printed.getvalue().splitlines()[-1])


def test_the_last_line_says_what_parallel_gains_and_costs(figures):
    assert figures["exact_sec"] > 0 < figures["parallel_sec"]
    quotient = figures["exact_sec"] / figures["parallel_sec"]
    assert figures["times_faster"] == pytest.approx(quotient, rel=0.05, abs=0.02)
    for level in ("middle", "bottom"):
        seams = figures["seams"][level]
        assert seams["joins"] > 0
        assert 0 <= seams["codes_that_agree"] <= 1
        assert 0 <= seams["mean_rank"] <= 1
        assert 0 <= seams["mean_rank_of_jump"] <= 1
        assert seams["db_at_joins"] > 0 < seams["db_elsewhere"]


def test_a_change_of_the_tone_and_a_click_are_found():
    time = torch.arange(8192) / 16_000
    low, high = (torch.sin(2 * torch.pi * hz * time) for hz in (440, 3000))
    changed = torch.cat((low[:4096], high[4096:]))
    assert change_at(changed, 4096, 512) > 3 * change_at(changed, 2048, 512)
    clicking = low.clone()
    clicking[4096:] *= -1
    clicking[4096] += 0.5
    assert jump_at(clicking, 4096, 16) > 3 * jump_at(clicking, 2048, 16)
