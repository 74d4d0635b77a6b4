"""Which step computes a model: the rules, without weights."""

import pytest

from jukebox_core.errors import ConfigError
from jukebox_core.models.released import released_config
from jukebox_core.step_kind import StepKind, plan_step
from tests.engine.windows import golden_config


def planned(wanted, *, config=None, is_cpu=True, is_float32=True, reason_against=None):
    return plan_step(
        config or golden_config("prior_5b_lyrics"),
        wanted=wanted,
        is_cpu=is_cpu,
        is_float32=is_float32,
        reason_against=reason_against,
    )


def test_a_small_model_in_float32_on_a_cpu_steps_natively():
    assert planned("auto") is planned("on") is StepKind.NATIVE


@pytest.mark.parametrize(
    "lacking", [{"is_cpu": False}, {"is_float32": False}, {"reason_against": "no compiler"}]
)
def test_auto_takes_the_plain_step_where_there_is_no_other(lacking):
    assert planned("auto", **lacking) is StepKind.PLAIN


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ({"is_cpu": False}, "float32 on a CPU"),
        ({"is_float32": False}, "float32 on a CPU"),
        ({"reason_against": "needs a C compiler"}, "needs a C compiler"),
    ],
)
def test_who_insists_hears_why_it_cannot_be(lacking, reason):
    with pytest.raises(ConfigError, match=reason):
        planned("on", **lacking)


def test_large_models_are_left_to_torch_unless_somebody_insists():
    config = released_config("5b_lyrics")
    assert planned("auto", config=config) is StepKind.PLAIN
    assert planned("on", config=config) is StepKind.NATIVE


def test_off_is_off():
    assert planned("off") is StepKind.PLAIN


def test_an_unknown_wish_is_refused():
    with pytest.raises(ConfigError, match="auto, on, off"):
        planned("fast")
