"""The measurement of sampling runs in its small form, and says what it promises to say."""

import json
import shutil

import pytest
import torch

pytestmark = [pytest.mark.hf, pytest.mark.nightly("transformers")]

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
    steps = ("torch", "native") if shutil.which("cc") else ("torch",)
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
    from jukebox_core.models.released import released_config

    for model, level in FULL_SIZE.values():
        prior = random_prior(
            released_config(model).prior(level), torch.device("meta"), torch.float16
        )
        assert prior.compute_dtype == torch.float16
        assert prior.token_embedding.weight.dtype == torch.float32


@pytest.fixture(scope="module")
def small_full_size():
    """The form for released sizes with small priors instead of them."""
    from bench import full_steps
    from bench.full_size import random_prior
    from bench.machine import measure_machine
    from bench.pairs_of_priors import Size, prior_pairs
    from bench.precisions import compute_dtype
    from bench.ways import ways_on

    cpu = torch.device("cpu")
    size = Size(width=64, rows=8, block_tokens=8, num_lyrics=16, num_codes=128)
    configs = {pair.name: pair.ours.config for pair in prior_pairs(size)}

    def priors(device, precision):
        for name, config in configs.items():
            prior = random_prior(config, device, compute_dtype(precision, device))
            yield name, prior.use_int8_weights() if precision == "int8" else prior

    plan = full_steps.FullPlan(
        batches=[1, 2],
        num_tokens=8,
        precisions=["bf16", "int8"],
        ways=ways_on(cpu),
        their_tokens=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full_steps, "full_size_priors", priors)
        yield full_steps.measure_full(measure_machine(cpu), plan), configs


def test_the_full_size_form_runs_in_every_precision_beside_transformers(small_full_size):
    rows, _ = small_full_size
    assert [(row["precision"], row["prior"], row["batch"], row["dtype"]) for row in rows] == [
        (precision, name, batch, dtype)
        for precision, dtype in (("bf16", "bfloat16"), ("int8", "float32"))
        for name in ("1b_lyrics", "5b_lyrics", "upsampler")
        for batch in (1, 2)
    ]
    for row in rows:
        assert row["step"] == "torch"
        assert row["tokens_per_sec"] > 0
        assert row["times_transformers"] > 0
        assert row["transformers_step_ms"] > 0
        assert row["warm_up_seconds"] >= 0
        assert row["begin_ms"] > 0
        assert row["planned_mb"] > 0
        assert row["peak_mb"] is None  # nobody counts on a CPU


def test_memory_is_planned_for_the_rows_and_for_the_weights_as_they_are(small_full_size):
    rows, _ = small_full_size
    planned = {(r["precision"], r["prior"], r["batch"]): r["planned_mb"] for r in rows}
    for prior in ("1b_lyrics", "5b_lyrics", "upsampler"):
        assert planned["bf16", prior, 1] < planned["bf16", prior, 2]


def test_seconds_of_music_per_second_are_those_of_three_levels_together():
    from bench.full_steps import music_rates

    rates = {"5b_lyrics": 344.53125, "upsampler": 6890.625}
    rows = [
        {"prior": name, "batch": 8, "precision": "fp16", "step": "torch", "tokens_per_sec": rate}
        for name, rate in rates.items()
    ]
    (told,) = music_rates(rows)
    assert told["model"] == "5b_lyrics"
    assert told["music_seconds_per_second"] == 0.5
    assert music_rates(rows[:1]) == []


@pytest.mark.parametrize("name", ["1b_lyrics", "5b_lyrics", "upsampler"])
def test_theirs_are_as_large_as_the_released_priors(name):
    from bench.full_size import FULL_SIZE
    from bench.their_full_size import their_prior
    from jukebox_core.models.released import released_config
    from jukebox_core.prior import JukeboxPrior

    model, level = FULL_SIZE[name]
    config = released_config(model).prior(level)
    meta = torch.device("meta")
    with meta:
        ours = JukeboxPrior(config)
    theirs = their_prior(name, config, meta, torch.float16)
    counts = [sum(weight.numel() for weight in prior.parameters()) for prior in (ours, theirs)]
    assert counts[0] == counts[1]


def test_a_way_to_compute_steps_is_known_by_its_name():
    from bench.ways import way_of, ways_on

    assert [way.name for way in ways_on(torch.device("cpu"))] == ["torch"]
    names = [way.name for way in ways_on(torch.device("cuda"))]
    assert names[:2] == ["torch", "torch graph"]
    assert [way_of(name).name for name in names] == names
    with pytest.raises(ValueError, match="slow"):
        way_of("slow")
