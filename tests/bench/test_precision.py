"""The measurement of reduced precision runs, and says what it promises to say."""

import copy
import json
import shutil

import pytest
import torch

from bench.precision import distances, main
from bench.precisions import PRECISIONS, in_precision
from bench.true_windows import Windows
from tests.prior.golden import expected, golden_prior


@pytest.fixture(scope="module")
def figures(tiny_model_dir):
    from contextlib import redirect_stdout
    from io import StringIO

    num_threads, printed = torch.get_num_threads(), StringIO()
    small = ["--songs", "1", "--batch", "1", "2", "--tokens", "6", "--repeats", "1"]
    try:
        with redirect_stdout(printed):
            main([str(tiny_model_dir), *small])
    finally:
        torch.set_num_threads(num_threads)
    return json.loads(printed.getvalue().splitlines()[-1])


def test_every_precision_has_its_distance_at_every_level(figures):
    rows = figures["distances"]
    assert [(row["level"], row["precision"]) for row in rows] == [
        (level, precision) for level in ("top", "middle", "bottom") for precision in PRECISIONS
    ]
    for row in rows:
        if row["precision"] == "fp32":
            assert row["kl_bits"] == row["argmax_differs"] == row["rise_bits"] == 0
        else:
            assert 0 < row["kl_bits"] < 0.1
            assert 0 <= row["argmax_differs"] < 0.5
        assert row["kl_bits_99th"] >= row["kl_bits"]
        assert row["bits_per_token"] > 0
        assert row["stack_mb"] < row["prior_mb"]


def test_the_stacks_take_less_the_lower_the_precision(figures):
    top = {row["precision"]: row["stack_mb"] for row in figures["distances"][: len(PRECISIONS)]}
    assert top["int8"] < top["bf16"] == top["fp16"] < top["fp32"]


def test_every_precision_has_its_speed_with_every_step(figures):
    ways = [(name, "torch") for name in PRECISIONS]
    if shutil.which("cc"):
        ways = sorted([*ways, ("fp32", "native"), ("int8", "native")])
    rows = figures["speeds"]
    for level in ("top", "middle", "bottom"):
        for batch in (1, 2):
            found = [r for r in rows if r["level"] == level and r["batch"] == batch]
            assert sorted((r["precision"], r["step"]) for r in found) == sorted(ways)
    assert all(row["tokens_per_sec"] > 0 and row["times_fp32"] > 0 for row in rows)


def test_a_prior_that_says_the_same_is_not_far_and_one_with_other_weights_is():
    golden = expected()
    prior = golden_prior("prior_5b_lyrics")
    windows = Windows(golden["prior_5b_lyrics.z_0"], golden["prior_5b_lyrics.y_0"], None)
    spoilt = copy.deepcopy(prior)
    with torch.no_grad():
        spoilt.transformer.stack()[0].mlp.output.weight.neg_()
    same, other = distances({"fp32": prior, "int8": spoilt}, windows)
    assert same["kl_bits"] == 0
    assert same["tokens"] == windows.codes.numel()
    (near,) = distances({"fp32": prior, "int8": in_precision(prior, "int8")}, windows)[1:]
    assert other["kl_bits"] > 10 * near["kl_bits"] > 0
