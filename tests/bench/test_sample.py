"""The measurement of sampling runs in its small form, and says what it promises to say."""

import json
import shutil

import pytest
import torch

pytestmark = pytest.mark.hf

FIELDS_OF_A_ROW = {
    "prior",
    "precision",
    "step",
    "width",
    "layers",
    "batch",
    "dtype",
    "tokens_per_sec",
    "step_ms",
    "floor_ms",
    "floor_share",
    "weight_mb",
    "gflop_per_sec",
    "last_over_first_tenth",
    "transformers_tokens_per_sec",
    "transformers_step_ms",
    "transformers_last_over_first_tenth",
    "times_transformers",
}


@pytest.fixture(scope="module")
def last_line(tmp_path_factory):
    from contextlib import redirect_stdout
    from io import StringIO

    from bench.sample import main

    num_threads, printed = torch.get_num_threads(), StringIO()
    try:
        with redirect_stdout(printed):
            main(["--quick", "--precision", "fp32", "int8"])
    finally:
        torch.set_num_threads(num_threads)
    return json.loads(printed.getvalue().splitlines()[-1])


def test_the_last_line_names_the_machine_and_its_limits(last_line):
    assert last_line["machine"]
    assert last_line["device"] == "cpu"
    assert last_line["threads"] == 1
    assert last_line["memory_bytes_per_sec"] > 1e8
    assert last_line["flop_per_sec"] > 1e8
    assert last_line["transformers"] == "4.57.6"


def test_every_kind_of_prior_is_measured_beside_transformers_and_the_floor(last_line):
    rows = last_line["rows"]
    steps = ("plain", "native") if shutil.which("cc") else ("plain",)
    assert [(row["prior"], row["batch"], row["precision"], row["step"]) for row in rows] == [
        (prior, batch, precision, step)
        for prior in ("1b_lyrics", "5b_lyrics", "upsampler")
        for batch in (1, 4)
        for precision in ("fp32", "int8")
        for step in steps
    ]
    for row in rows:
        assert set(row) == FIELDS_OF_A_ROW
        assert row["tokens_per_sec"] > 0
        assert row["transformers_tokens_per_sec"] > 0
        assert row["floor_share"] > 0


def test_priors_of_a_pair_give_the_same_logits():
    from bench.pairs_of_priors import Size, prior_pairs

    size = Size(width=64, rows=8, block_tokens=8, num_lyrics=16, num_codes=128)
    for pair in prior_pairs(size):
        labels, upper = pair.labels(2), pair.upper_codes(2)
        codes = torch.randint(0, 128, (2, 64), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            ours = pair.ours(codes, labels, upper).logits[:, pair.ours.config.num_prefix_tokens :]
            theirs = _their_logits(pair.theirs, codes, labels, upper)[:, -64:]
        torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=1e-4, rtol=0)


def _their_logits(prior, codes, labels, upper):
    audio, metadata, lyrics = prior.get_cond([] if upper is None else [upper], labels)
    if prior.is_encoder_decoder:
        tokens, audio = prior.prior_preprocess([lyrics, codes], [None, audio])
        return prior.prior(tokens, audio, metadata, get_sep_loss=True, get_preds=True)[1]
    states = prior.get_encoder_states(lyrics)
    return prior.prior(codes, audio, metadata, states, get_preds=True)[1]


def test_a_prior_of_full_size_is_made_in_half_precision_where_it_is_needed():
    from bench.full_size import FULL_SIZE, random_prior
    from jukebox_core.released import released_config

    for model, level in FULL_SIZE.values():
        prior = random_prior(
            released_config(model).prior(level), torch.device("meta"), torch.float16
        )
        assert prior.compute_dtype == torch.float16
        assert prior.token_embedding.weight.dtype == torch.float32


def test_the_full_size_form_runs_in_half_precision_on_any_prior(monkeypatch):
    from bench import sample
    from bench.full_size import random_prior
    from bench.machine import measure_machine
    from tests.prior.golden import config_of

    cpu = torch.device("cpu")
    config = config_of("prior_5b_lyrics")
    prior = random_prior(config, cpu, torch.bfloat16)
    monkeypatch.setattr(sample, "full_size_priors", lambda device, dtype: [("small", prior)])
    rows = sample.measure_full(measure_machine(cpu), [1, 2], 8, torch.bfloat16)
    assert [(row["batch"], row["dtype"]) for row in rows] == [(1, "bfloat16"), (2, "bfloat16")]
    assert all(row["tokens_per_sec"] > 0 for row in rows)
