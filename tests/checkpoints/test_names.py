"""Tables of names."""

import pytest

from jukebox_core.checkpoints import huggingface, openai
from jukebox_core.checkpoints.names import translator


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("up.0.w", "stages.0.up.weight"),
        ("up.4.b", "stages.2.up.bias"),
        ("up.5.weight", "stages.2.down.weight"),
        ("in.1.bias", "inputs.0.bias"),
        ("in.0.bias", None),
        ("up.4.k", None),
        ("a.up.4.b", None),
    ],
)
def test_templates_count_as_they_say(theirs, ours):
    translate = translator(
        [
            ("up.{2s}.{end}", "stages.{s}.up.{end}"),
            ("up.{2s+1}.{end}", "stages.{s}.down.{end}"),
            ("in.{i+1}.{end}", "inputs.{i}.{end}"),
        ]
    )
    assert translate(theirs) == ours


@pytest.mark.parametrize("module", [openai, huggingface])
@pytest.mark.parametrize("table", ["VQVAE_NAMES", "PRIOR_NAMES"])
def test_no_two_names_become_one(module, table):
    ours = [our_name for _, our_name in getattr(module, table)]
    assert len(ours) == len(set(ours))


def test_both_origins_reach_the_same_names():
    for table in ("VQVAE_NAMES", "PRIOR_NAMES"):
        reached = [{ours for _, ours in getattr(module, table)} for module in (openai, huggingface)]
        assert reached[0] == reached[1]
