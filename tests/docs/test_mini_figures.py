"""What the page says of `mini` is what its evaluation found."""

import json

import pytest

from jukebox_core.models.catalog import BUNDLED_MODELS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "guides" / "models.md").read_text(encoding="utf-8")
FIGURES = json.loads(
    (ROOT / "docs" / "explanation" / "mini" / "evaluation.json").read_text(encoding="utf-8")
)
MAX_BYTES = 25_000_000


def _row(beginning: str) -> str:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {beginning} |")]
    return row


@pytest.mark.parametrize("kind", ["artist", "genre"])
def test_the_page_tells_how_often_the_asked_name_is_heard(kind):
    figure = FIGURES["obedience"][kind]
    share, low, high = (round(100 * x) for x in (figure["share"], *figure["interval_95"]))
    assert f"**{share} %** ({low} to {high})" in _row(f"{kind} as asked")
    assert ("missed" in _row(f"{kind} as asked")) is not figure["reached"]


@pytest.mark.parametrize("level", ["top", "middle", "bottom"])
def test_the_page_tells_the_codec_and_the_bits_of_each_level(level):
    codec, bits = FIGURES["codec"]["levels"][level], FIGURES["bits"][level]
    row = _row(f"{level} | {codec['perplexity']:.0f} | {codec['snr_db']:.1f} dB")
    assert f"{bits['bits_per_token']['mean']:.2f} | {bits['unigram_bits']:.2f}" in row
    for name, rise in bits["rise"].items():
        words = f"{name.replace('_', ' ')} {rise['difference']['mean']:.2f}"
        assert words in row or abs(rise["difference"]["mean"]) < 0.01


def test_the_page_tells_where_the_alignment_head_looks():
    assert f"**{FIGURES['alignment']['share'] * 100:.0f} %**" in _row(
        "alignment head within a character of the truth"
    )


def test_the_bundled_model_is_small_enough_to_come_along():
    files = (BUNDLED_MODELS / "mini").rglob("*")
    assert sum(file.stat().st_size for file in files if file.is_file()) < MAX_BYTES
