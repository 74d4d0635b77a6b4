"""How long each kind of work takes: from little that was seen, and from what is like it."""

import pytest

from worker.lease.paces import GUESS_SEC, Paces, SampledKind

TOKENS, BEGINNINGS = SampledKind.TOKENS, SampledKind.BEGINNINGS
LONG = 1000.0


def seen(paces, item, *, seconds, work, times=1):
    for _ in range(times):
        paces.note(seconds, {item: work})


def test_a_plan_counts_until_enough_was_measured():
    paces = Paces(LONG, 1.0)
    told = [paces.of((TOKENS, "top"))]
    for _ in range(40):
        seen(paces, (TOKENS, "top"), seconds=1.0, work=0.5)
        told.append(paces.of((TOKENS, "top")))
    assert told[0] == 1.0
    assert told == sorted(told)
    assert told[3] < 1.6, "the first steps say little"
    assert told[30:] == pytest.approx([2.0] * 11)


def test_a_plan_counts_less_for_a_short_song():
    short, long = Paces(10.0, 1.0), Paces(LONG, 1.0)
    for paces in (short, long):
        seen(paces, (TOKENS, "top"), seconds=1.0, work=0.5, times=3)
    assert short.of((TOKENS, "top")) == pytest.approx(2.0)
    assert long.of((TOKENS, "top")) < 1.6


def test_what_was_not_seen_yet_goes_as_its_kind_does_elsewhere():
    paces = Paces(LONG, 1.0)
    seen(paces, (TOKENS, "top"), seconds=1.0, work=1.0, times=60)
    assert paces.of((BEGINNINGS, "middle")) == pytest.approx(1.0), "as all does"
    seen(paces, (BEGINNINGS, "middle"), seconds=4.0, work=2.0, times=8)
    assert paces.of((BEGINNINGS, "bottom")) == pytest.approx(2.0)
    assert paces.of((TOKENS, "bottom")) == pytest.approx(1.0)
    assert 1.0 < paces.overall < 2.0


def test_time_is_shared_by_what_is_expected_of_each_and_none_is_lost():
    paces = Paces(LONG, None)
    seen(paces, (BEGINNINGS, "bottom"), seconds=2.0, work=1.0, times=30)
    seen(paces, (TOKENS, "bottom"), seconds=1.0, work=1.0, times=60)
    for _ in range(60):
        paces.note(6.0, {(BEGINNINGS, "bottom"): 1.0, (TOKENS, "bottom"): 1.0})
    both = paces.of((BEGINNINGS, "bottom")) + paces.of((TOKENS, "bottom"))
    assert both == pytest.approx(6.0, rel=0.01)
    assert paces.of((BEGINNINGS, "bottom")) > 1.5 * paces.of((TOKENS, "bottom"))


def test_a_pace_is_that_of_the_last_minute():
    paces = Paces(LONG, 1.0)
    seen(paces, (TOKENS, "top"), seconds=1.0, work=1.0, times=300)
    seen(paces, (TOKENS, "top"), seconds=1.0, work=0.25, times=61)
    for told in (paces.overall, paces.of((TOKENS, "top")), paces.of((TOKENS, "middle"))):
        assert told == pytest.approx(4.0)


def test_nobody_knows_anything_before_a_second_was_measured_without_a_plan():
    paces = Paces(LONG, None)
    assert paces.overall is None
    assert paces.of((TOKENS, "top")) is None
    seen(paces, (TOKENS, "top"), seconds=0.5, work=1.0)
    assert paces.of((TOKENS, "top")) is None
    seen(paces, (TOKENS, "top"), seconds=0.5, work=1.0)
    assert paces.overall == paces.of((TOKENS, "top")) == 0.5
    assert paces.measured((TOKENS, "top")) == 0.5
    assert paces.measured((BEGINNINGS, "top")) is None


def test_what_took_no_time_by_the_clock_changes_no_pace():
    paces = Paces(LONG, 1.0)
    seen(paces, (TOKENS, "top"), seconds=0.0, work=5.0)
    assert paces.of((TOKENS, "top")) == 1.0
    assert paces.measured((TOKENS, "top")) is None
    seen(paces, (TOKENS, "top"), seconds=GUESS_SEC, work=GUESS_SEC)
    assert 0.5 < paces.of((TOKENS, "top")) <= 1.0
