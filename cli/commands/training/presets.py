"""Presets of `jukebox train`: how many steps of what size, where no option says otherwise."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import typer

LEAST_FITTED_STEPS = 60
"""Fewer make nothing that sounds, on a machine however slow."""


class PresetName(StrEnum):
    """The names of presets."""

    QUICK = "quick"
    FULL = "full"


_QUICK = {
    "batch_size": 4,
    "warmup_steps": 20,
    "evaluate_every": 0,
    "log_every": 25,
    "save_every": 100,
}
_QUICK_PRIOR = _QUICK | {"learning_rate": 2e-3}

_PRESETS: Mapping[tuple[PresetName, str, str], Mapping[str, Any]] = {
    (PresetName.QUICK, "vqvae", "top"): _QUICK | {"steps": 4_000, "minutes": 2.5},
    (PresetName.QUICK, "vqvae", "middle"): _QUICK | {"steps": 4_000, "minutes": 2.0},
    (PresetName.QUICK, "vqvae", "bottom"): _QUICK | {"steps": 8_000, "minutes": 3.0},
    (PresetName.QUICK, "prior", "top"): _QUICK_PRIOR | {"steps": 6_000, "minutes": 5.0},
    (PresetName.QUICK, "prior", "middle"): _QUICK_PRIOR | {"steps": 6_000, "minutes": 2.5},
    (PresetName.QUICK, "prior", "bottom"): _QUICK_PRIOR | {"steps": 6_000, "minutes": 3.0},
    (PresetName.FULL, "vqvae", "top"): {"steps": 12_000},
    (PresetName.FULL, "vqvae", "middle"): {"steps": 12_000},
    (PresetName.FULL, "vqvae", "bottom"): {"steps": 30_000},
    (PresetName.FULL, "prior", "top"): {"steps": 23_000},
    (PresetName.FULL, "prior", "middle"): {"steps": 16_000},
    (PresetName.FULL, "prior", "bottom"): {"steps": 28_000},
}


def preset_values(
    context: typer.Context, preset: PresetName, part: str, level: str
) -> dict[str, Any]:
    """The values of a preset by the names of options, without those that were typed.

    Where `--steps` was typed they are not fitted into the preset's minutes.
    """
    values = dict(_PRESETS[preset, part, level])
    if _is_typed(context, "steps"):
        values.pop("minutes", None)
    return {name: each for name, each in values.items() if not _is_typed(context, name)}


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
