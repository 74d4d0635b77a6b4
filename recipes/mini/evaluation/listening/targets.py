"""What was wanted of a model, and whether it was reached."""

from collections.abc import Iterator, Mapping
from typing import Any

from recipes.mini.evaluation.codec import PERPLEXITY_WANTED

P_WANTED = 0.01
"""Below it the vowels of drawn songs are called nearer to the asked words than to shuffled ones."""


def compare_with_targets(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for everything that was measured and asked for: `what`, `found`, `wanted`, `reached`.

    Args:
        figures: of `evaluate_mini`; parts that were not measured are left out.
    """
    return [
        *_of_codec(figures.get("codec", {}).get("levels", {})),
        *_of_bits(figures.get("bits", {})),
        *_of_alignment(figures.get("alignment")),
        *_of_obedience(figures.get("obedience", {})),
        *_of_lyrics(figures.get("lyrics", {}).get("sung_vowels")),
    ]


def _of_codec(levels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, level in levels.items():
        share = level["perplexity_share"]
        yield _at_least(f"perplexity of {name} codes", share, PERPLEXITY_WANTED)


def _of_bits(levels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, level in levels.items():
        found, unigram = level["bits_per_token"]["mean"], level["unigram_bits"]
        yield _below(f"bits per {name} token, below the unigram entropy", found, unigram)


def _of_alignment(alignment: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    if alignment is not None:
        yield _at_least("attention near the truth", alignment["share"], alignment["wanted"])


def _of_obedience(kinds: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for kind, figure in kinds.items():
        yield _at_least(f"{kind} as asked", figure["share"], figure["wanted"])


def _of_lyrics(vowels: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    if vowels is not None:
        for control in ("reordered", "others"):
            p_value = vowels[f"own_against_{control}"]["p_value"]
            yield _below(f"p of vowels against {control}", p_value, P_WANTED)


def _at_least(what: str, found: float | None, wanted: float) -> dict[str, Any]:
    reached = found is not None and found >= wanted
    return {"what": what, "found": found, "wanted": wanted, "reached": reached}


def _below(what: str, found: float | None, wanted: float) -> dict[str, Any]:
    reached = found is not None and found < wanted
    return {"what": what, "found": found, "wanted": wanted, "reached": reached}
