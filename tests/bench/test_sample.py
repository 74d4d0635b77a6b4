"""The measurement of sampling runs in its small form, and says what it promises to say."""

import shutil

import pytest
import torch

from bench import sample, steps, their_priors
from bench.priors import PRIORS, random_prior, released_prior, small_prior
from jukebox_core.prior import JukeboxPrior
from tests.backends.tape import TapeCapturer
from tests.bench.last_line import last_line

CPU = torch.device("cpu")
STEPS = ("torch", "native") if shutil.which("cc") else ("torch",)
BESIDE_THEIRS = {
    "transformers_tokens_per_sec",
    "transformers_step_ms",
    "transformers_last_over_first_tenth",
    "times_transformers",
}


def small(name, **sizes):
    return small_prior(name, 64, num_blocks=8, block_tokens=8, num_lyrics=16, **sizes)


@pytest.mark.hf
@pytest.mark.nightly("transformers")
def test_every_kind_of_prior_is_measured_beside_transformers_and_the_floor():
    few = ("--width", 64, "--batch", 1, 4, "--tokens", 6, "--repeats", 1)
    told = last_line(sample.main, *few, "--precision", "fp32", "int8")
    assert (told["device"], told["threads"]) == ("cpu", 1)
    assert told["transformers"] == "4.57.6"
    rows = told["rows"]
    assert [(row["precision"], row["prior"], row["batch"], row["step"]) for row in rows] == [
        (precision, prior, batch, step)
        for precision in ("fp32", "int8")
        for prior in PRIORS
        for batch in (1, 4)
        for step in STEPS
    ]
    for row in rows:
        assert set(row) >= BESIDE_THEIRS
        assert min(row[name] for name in (*BESIDE_THEIRS, "tokens_per_sec", "floor_share")) >= 0
        assert row["warnings"] == ""
        assert row["peak_mb"] is None  # nobody counts on a CPU


@pytest.mark.hf
@pytest.mark.nightly("transformers")
@pytest.mark.parametrize("config", [released_prior, small], ids=["released", "small"])
@pytest.mark.parametrize("name", PRIORS)
def test_theirs_are_as_large_as_ours(name, config):
    meta = torch.device("meta")
    priors = (random_prior(config(name), meta), their_priors.their_prior(name, config(name), meta))
    ours, theirs = ([w.numel() for w in prior.parameters()] for prior in priors)
    assert sum(ours) == sum(theirs)


def test_the_levels_of_a_model_are_measured_alone(tiny_model_dir):
    few = ("--batch", 1, "--tokens", 6, "--repeats", 1)
    rows = last_line(sample.main, "--model", tiny_model_dir, *few)["rows"]
    assert [(row["prior"], row["step"]) for row in rows] == [
        (level, step) for level in ("top", "middle", "bottom") for step in STEPS
    ]
    assert all(row["tokens_per_sec"] >= 0 for row in rows)
    assert BESIDE_THEIRS.isdisjoint(rows[0])


def test_captured_steps_are_counted(monkeypatch):
    monkeypatch.setattr(steps, "capturer_maker", lambda *_, **__: TapeCapturer)
    prior, way = (
        random_prior(small("upsampler"), CPU),
        steps.Way(backend="torch", is_captured=True),
    )
    row = steps.summary("upsampler", prior, 2, way, [steps.engine_run(prior, 2, 20, way=way)])
    assert row["step"] == "torch graph"
    assert row["graphs"] > 0
    assert row["warnings"] == ""


def test_a_backend_that_is_given_up_is_told(monkeypatch):
    """Or the figures of plain torch would stand under another name."""
    from jukebox_core.backends.native.backend import NativeBackend

    monkeypatch.setitem(NativeBackend.largest_difference, torch.float32, -1.0)
    prior = random_prior(small("upsampler"), CPU)
    run = steps.engine_run(prior, 1, 6, way=steps.Way(backend="native"))
    assert any("without the native backend" in warning for warning in run.warnings)


def test_rows_that_do_not_fit_are_no_figures(monkeypatch):
    """An engine goes on in fewer rows, which would be told as the speed of many."""
    prior, real = random_prior(small("upsampler"), CPU), JukeboxPrior.allocate_cache

    def scarce(self, num_rows, **options):
        if num_rows > 2:
            raise torch.OutOfMemoryError("no room")
        return real(self, num_rows, **options)

    monkeypatch.setattr(JukeboxPrior, "allocate_cache", scarce)
    with pytest.raises(torch.OutOfMemoryError, match="4 rows do not fit"):
        steps.engine_run(prior, 4, 6, way=steps.Way(backend="torch"))


def test_a_turn_of_several_tokens_counts_for_each_of_them():
    run = steps.EngineRun(begin_sec=[0.1], turns=[(1, 5.0), *[(4, 2.0)] * 3])
    assert run.step_times == [5.0, *[0.5] * 12]
    assert run.warm_up_sec == 4.5
