import math

import numpy as np
import pytest

from recipes.mini.evaluation.statistics import (
    Share,
    confusion,
    derangement,
    mean_of,
    paired_test,
    share_in_songs,
    share_of,
    shuffled_control,
    similarity,
)

pytestmark = pytest.mark.nightly("recipe")


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_the_interval_of_a_share_is_wilsons(hits, number, low, high):
    assert Share(hits, number).interval == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_nothing_says_nothing():
    figures = share_of([]).to_json()
    assert figures["share"] is None
    assert figures["interval_95"] == [0.0, 1.0]


def test_a_share_of_things_in_songs_is_as_unsure_as_the_songs_are_few():
    songs = [[True] * 100, [False] * 100, [True] * 100, [False] * 100]
    figures = share_in_songs([*songs, []])
    assert (figures["share"], figures["number"], figures["songs"]) == (0.5, 400, 4)
    low, high = figures["interval_95"]
    assert low < 0.1
    assert high > 0.9
    assert share_in_songs([])["share"] is None


def test_the_interval_of_a_mean_covers_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(5)
    means = [mean_of(generator.normal(1.0, 2.0, 60)) for _ in range(200)]
    covered = sum(mean.low <= 1.0 <= mean.high for mean in means)
    assert 180 <= covered <= 198


def test_values_that_are_no_numbers_are_left_out_of_a_mean():
    assert mean_of([1.0, math.nan, 3.0]).value == 2.0
    assert math.isnan(mean_of([]).value)


def test_p_values_of_no_effect_are_spread_evenly():
    generator = np.random.default_rng(1)
    p_values = [paired_test(generator.normal(size=30)).p_value for _ in range(200)]
    assert sum(p < 0.05 for p in p_values) <= 20
    assert 0.4 < np.mean(p_values) < 0.6


def test_a_clear_effect_has_a_small_p_value_and_its_size_in_deviations():
    differences = np.random.default_rng(2).normal(0.8, 1.0, 100)
    test = paired_test(differences)
    assert test.p_value < 0.001
    assert test.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert paired_test(-differences).p_value > 0.99


def test_a_p_value_is_never_zero_and_no_differences_show_nothing():
    assert paired_test([1.0] * 50).p_value > 0.0
    assert paired_test([0.0] * 50).p_value == 1.0


def test_shuffled_questions_are_answered_by_chance():
    asked = list(range(8)) * 16
    control = shuffled_control(asked, asked)
    assert control.mean == pytest.approx(0.125, abs=0.01)
    assert control.interval[1] < 0.25
    assert control.p_value < 0.001


def test_a_judge_that_always_says_the_same_is_no_better_than_shuffled():
    control = shuffled_control(list(range(8)) * 16, [3] * 128)
    assert control.mean == pytest.approx(0.125)
    assert control.p_value == 1.0


def test_a_confusion_has_a_row_for_what_was_asked():
    assert confusion([0, 0, 1], [0, 1, 1], 2).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0)]
)
def test_likeness_counts_the_fewest_changes_by_the_longer(one, other, distance):
    codes = [[ord(letter) for letter in word] for word in (one, other)]
    wanted = 1.0 - distance / max(len(one), len(other))
    assert similarity(*codes) == similarity(*codes[::-1]) == pytest.approx(wanted)


def test_a_mean_of_one_song_has_no_interval_of_its_own():
    mean = mean_of([2.5])
    assert (mean.low, mean.value, mean.high) == (2.5, 2.5, 2.5)
    assert share_in_songs([[True, False]])["interval_95"] == [0.5, 0.5]


def test_likeness_lies_between_nothing_and_all():
    assert similarity([1, 2, 3], [1, 2, 3]) == 1.0
    assert similarity([1, 1], [2, 2, 2]) == 0.0
    assert similarity([], []) == 1.0


def test_nobody_keeps_his_place_in_a_derangement():
    for number in (2, 3, 10):
        order = derangement(number, np.random.default_rng(number))
        assert sorted(order) == list(range(number))
        assert (order != np.arange(number)).all()
