"""Drawing together is drawing alone: every test compares with the simple loop of one window."""

import random

import numpy as np
import pytest
import torch

from jukebox_core.engine import Engine, SequenceStatus
from jukebox_core.errors import SamplingError
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.engine.windows import TOP_PRIORS, Draw, golden_priors, run_to_end


def draws_of(top: str, level: Level) -> list[Draw]:
    """Windows of many shapes: lengths, prefixes, places, songs, settings."""
    return [
        Draw(top, level, num_new=64),
        Draw(top, level, song=1, num_prefix=40, num_new=24, start_token=40, seed=1),
        Draw(top, level, num_prefix=63, num_new=1, start_token=8, sample=1),
        Draw(top, level, num_prefix=7, num_new=30, seed=2, params=SamplingParams(temperature=1.4)),
        Draw(top, level, song=1, num_prefix=8, num_new=21, seed=3, params=SamplingParams(top_k=5)),
        Draw(top, level, num_prefix=1, num_new=17, seed=4, params=SamplingParams(top_p=0.7)),
        Draw(top, level, song=1, num_new=9, start_token=16, sample=3, seed=2**40),
    ]


@pytest.mark.parametrize("max_rows", [2, 16])
@pytest.mark.parametrize(
    ("top", "level"),
    [(top, Level.TOP) for top in TOP_PRIORS]
    + [("prior_5b", Level.MIDDLE), ("prior_5b", Level.BOTTOM)],
)
def test_windows_drawn_together_equal_the_same_windows_drawn_alone(top, level, max_rows):
    draws = draws_of(top, level)
    engine = Engine(golden_priors(top), max_rows=max_rows)
    for number, window in enumerate(draws):
        engine.submit(window.sequence(f"{number}"))
    results = run_to_end(engine)
    assert results == {f"{number}": window.slowly() for number, window in enumerate(draws)}


@pytest.mark.parametrize("seed", range(3))
def test_windows_may_join_late_in_any_order_and_from_all_levels(seed):
    top = "prior_1b_lyrics"
    draws = [window for level in COARSE_TO_FINE for window in draws_of(top, level)[1:]]
    shuffled = random.Random(seed)
    shuffled.shuffle(draws)
    engine, results = Engine(golden_priors(top), max_rows=3), {}
    for number, window in enumerate(draws):
        engine.submit(window.sequence(f"{number}"))
        for _ in range(shuffled.randrange(12)):
            for update in engine.step():
                results[update.id] = update.codes.tolist()
    run_to_end(engine, results)
    assert results == {f"{number}": window.slowly() for number, window in enumerate(draws)}


def test_a_row_is_the_same_to_the_bit_in_any_company():
    """Not only the drawn codes: the engine pads small batches, so the logits agree exactly."""
    window = Draw("prior_5b", Level.MIDDLE, num_new=20)
    seen: list[list[torch.Tensor]] = []
    for num_neighbors in (0, 1, 2, 5):
        engine = Engine(golden_priors("prior_5b"), max_rows=8)
        # The window must stand in the same slot: it comes first.
        engine.submit(window.sequence("mine"))
        for number in range(num_neighbors):
            engine.submit(Draw("prior_5b", Level.MIDDLE, seed=number + 9).sequence(f"{number}"))
        seen.append(_logits_of_first_row(engine))
    for logits in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], logits, strict=True))


def _logits_of_first_row(engine: Engine) -> list[torch.Tensor]:
    prior = engine._runners.priors[Level.MIDDLE]
    rows: list[torch.Tensor] = []
    real_decode = prior.decode

    def spy(ids, positions, cache, slots, **how):
        logits = real_decode(ids, positions, cache, slots, **how)
        rows.append(logits[0].clone())
        return logits

    prior.decode = spy
    try:
        while not any(update.id == "mine" for update in engine.step()):
            pass
    finally:
        del prior.decode
    return rows


def test_codes_of_a_merged_vocabulary_are_music_and_characters_are_fed_back_as_drawn():
    hot = SamplingParams(temperature=50.0)  # nearly uniform: characters are sure to be drawn
    windows = [Draw("prior_1b_lyrics", Level.TOP, num_new=64, seed=s, params=hot) for s in range(3)]
    engine = Engine(golden_priors("prior_1b_lyrics"), max_rows=2)
    for number, window in enumerate(windows):
        engine.submit(window.sequence(f"{number}"))
    results = run_to_end(engine)
    assert results == {f"{number}": window.slowly() for number, window in enumerate(windows)}
    num_codes = windows[0].prior.config.num_codes
    everything = np.concatenate([results[f"{number}"] for number in range(3)])
    assert everything.min() == 0
    assert everything.max() < num_codes
    assert np.mean(everything == 0) > 0.3


def test_progress_counts_drawn_tokens_and_ends_with_the_window():
    engine = Engine(golden_priors("prior_5b"), max_rows=1)
    engine.submit(Draw("prior_5b", Level.TOP, num_new=5).sequence("first"))
    engine.submit(Draw("prior_5b", Level.TOP, num_new=5).sequence("second"))
    assert engine.progress("first") == 0
    engine.step()
    assert engine.progress("first") == 2
    assert engine.progress("second") == 0
    run_to_end(engine)
    with pytest.raises(SamplingError, match="no sequence 'first'"):
        engine.progress("first")


@pytest.mark.parametrize("num_prefix", [0, 7])
def test_the_codes_of_a_window_can_be_seen_before_it_ends(num_prefix):
    window = Draw("prior_1b_lyrics", Level.TOP, num_prefix=num_prefix, num_new=20)
    engine = Engine(golden_priors("prior_1b_lyrics"), max_rows=2)
    engine.submit(window.sequence("seen"))
    whole, seen = window.slowly(), []
    while engine.has_work:
        seen.append(engine.codes_so_far("seen").tolist())
        assert seen[-1] == whole[: engine.progress("seen")]
        engine.step()
    assert seen[0] == []
    assert 0 < len(seen[-1]) < 20
    with pytest.raises(SamplingError, match="seen"):
        engine.codes_so_far("seen")


@pytest.mark.parametrize("turns_before", [0, 1, 6])
def test_a_canceled_window_leaves_at_once_and_its_slot_serves_the_next(turns_before):
    engine = Engine(golden_priors("prior_5b_lyrics"), max_rows=2)
    stays = Draw("prior_5b_lyrics", Level.TOP, num_new=40, seed=5)
    leaves = Draw("prior_5b_lyrics", Level.TOP, num_prefix=20, num_new=44, seed=6)
    follows = Draw("prior_5b_lyrics", Level.TOP, num_prefix=3, num_new=30, seed=7)
    sequences = {"leaves": leaves, "stays": stays, "follows": follows}
    for name, window in sequences.items():
        engine.submit(window.sequence(name))
    for _ in range(turns_before):
        assert engine.step() == []
    assert engine.cancel("leaves")
    assert not engine.cancel("leaves")
    assert run_to_end(engine) == {"stays": stays.slowly(), "follows": follows.slowly()}


def test_a_window_that_cannot_begin_ends_with_its_error_and_harms_nobody(caplog):
    engine = Engine(golden_priors("prior_5b"), max_rows=2)
    good = Draw("prior_5b", Level.TOP, num_new=20)
    bad_labels, bad_codes = (good.sequence(name) for name in ("bad labels", "bad codes"))
    bad_labels.labels = (*bad_labels.labels[:3], 999_999, *bad_labels.labels[4:])
    bad_codes.prefix_codes = np.array([5, 2048])
    for sequence in (bad_labels, good.sequence("good"), bad_codes, good.sequence("good too")):
        engine.submit(sequence)
    results = run_to_end(engine)
    assert isinstance(results["bad labels"], SamplingError)
    assert isinstance(results["bad codes"], SamplingError)
    assert results["good"] == results["good too"] == good.slowly()
    assert bad_codes.status is SequenceStatus.FINISHED


def test_a_failing_step_ends_the_windows_of_its_prior_only(caplog):
    priors = golden_priors("prior_5b")
    engine = Engine(priors, max_rows=4)
    middle = Draw("prior_5b", Level.MIDDLE, num_new=10)
    top = Draw("prior_5b", Level.TOP, num_new=10)
    for number in range(2):
        engine.submit(middle.sequence(f"middle {number}"))
        engine.submit(top.sequence(f"top {number}"))
    engine.step()
    engine.step()
    priors[Level.MIDDLE].decode = _fail
    try:
        results = run_to_end(engine)
    finally:
        del priors[Level.MIDDLE].decode
    assert all(isinstance(results[f"middle {number}"], ArithmeticError) for number in range(2))
    assert all(results[f"top {number}"] == top.slowly() for number in range(2))
    engine.submit(middle.sequence("again"))
    assert run_to_end(engine) == {"again": middle.slowly()}


def test_a_window_whose_step_fails_also_alone_takes_nobody_along(caplog, monkeypatch):
    priors = golden_priors("prior_5b")
    engine = Engine(priors, max_rows=4, min_rows=1)
    good = Draw("prior_5b", Level.TOP, num_new=20)
    bad = good.sequence("bad")
    for sequence in (good.sequence("good"), bad, good.sequence("good too")):
        engine.submit(sequence)
    decode = priors[Level.TOP].decode

    def fail_for_one(ids, positions, cache, slots, **how):
        if bad.slot in slots.tolist() and bad.num_sampled > 5:
            raise ArithmeticError("this window is cursed")
        return decode(ids, positions, cache, slots, **how)

    monkeypatch.setattr(priors[Level.TOP], "decode", fail_for_one)
    results = run_to_end(engine)
    assert isinstance(results["bad"], ArithmeticError)
    assert results["good"] == results["good too"] == good.slowly()


def _fail(*args, **how):
    raise ArithmeticError("the device has lost its mind")


def test_a_level_without_a_prior_ends_the_window_with_a_sentence(caplog):
    engine = Engine({Level.TOP: golden_priors("prior_5b")[Level.TOP]}, max_rows=1)
    engine.submit(Draw("prior_5b", Level.BOTTOM).sequence("a"))
    assert "no bottom prior" in str(run_to_end(engine)["a"])


def test_an_id_is_taken_once():
    engine = Engine(golden_priors("prior_5b"), max_rows=1)
    window = Draw("prior_5b", Level.TOP)
    engine.submit(window.sequence("a"))
    with pytest.raises(SamplingError, match="already in the engine"):
        engine.submit(window.sequence("a"))


def test_what_cannot_draw_several_tokens_at_once_draws_one():
    """If the second failed, the first could not be drawn again: the cache holds what came later."""
    window = Draw("prior_5b", Level.TOP, num_new=20)
    engine = Engine(golden_priors("prior_5b"), max_rows=2)
    sequence = window.sequence("mine")
    engine.submit(sequence)
    assert engine.step() == []
    assert engine._runners[Level.TOP].decode([sequence], max_rows=2, num_steps=9) == 1
    sequence.num_sampled += 1
    assert run_to_end(engine) == {"mine": window.slowly()}
