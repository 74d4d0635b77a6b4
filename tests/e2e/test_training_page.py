"""The page on training leads from a folder of songs to a job that is sung."""

import shutil

import pytest

from cli.commands import train_prior
from tests.docs.pages import ROOT, blocks_of
from tests.e2e.conftest import jukebox, shell

PAGE = "docs/guides/training.md"


def test_every_option_of_training_a_prior_that_the_page_names_is_there():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    options = {"start_share", "label_dropout", "upper_noise", "guide_weight", "guide_final"}
    options.add("metre_weight")
    assert options <= set(train_prior.prior.__annotations__)
    assert [name for name in options if f"--{name.replace('_', '-')}" not in page] == []


@pytest.mark.e2e
@pytest.mark.redis
def test_the_way_on_the_page_ends_with_a_model_that_sings_alone_and_in_the_service(
    stack, environment, tiny_models_dir, tmp_path
):
    script = "\n".join(["set -euo pipefail", *(b.code for b in blocks_of(PAGE, "training"))])
    checkout = environment | {"PYTHONPATH": str(ROOT)}
    shell(script, environment=checkout, cwd=tmp_path, timeout=900)
    assert (tmp_path / "mine.wav").read_bytes().startswith(b"RIFF")
    served = tiny_models_dir / "mine"
    shutil.copytree(tmp_path / "models" / "mine", served)
    try:
        jukebox(
            *("submit", "--model", "mine", "--artist", "orlavane", "--seconds", "2"),
            *("-o", "served.wav"),
            environment=environment,
            cwd=tmp_path,
        )
    finally:
        shutil.rmtree(served)
    assert (tmp_path / "served.wav").read_bytes().startswith(b"RIFF")
