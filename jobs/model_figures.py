"""What each model takes on one machine: memory, and time for a second of music. Kept on disk.

Workers write it, beside the data of their songs; commands without a service read it. No torch.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from jukebox_core.atomic_files import whole_file
from jukebox_core.config import JukeboxConfig
from jukebox_core.config.prior import JukeboxPriorConfig
from jukebox_core.sampling.step_cost import (
    PLANNED_ROWS,
    PRODUCTS_PER_WEIGHT,
    READ_SHARE,
    ROW_SHARE,
    StepCosts,
    conditioner_products,
    token_cost,
)
from jukebox_core.small_files import read_small_json
from jukebox_core.units import Level

log = logging.getLogger(__name__)

FIGURES_FILE = "models-here.json"
PRODUCTS_PER_WEIGHT_ON_GPU = 100.0
"""Multiplications in the time in which a GPU reads one weight."""
SLOWNESS: Mapping[str, float] = {"sound": 6.0, "prompt": 6.0, "window": 2.2}
"""How much longer a multiplication takes than one of a prior, in some parts of a job. Layers of the
codec are narrow. Conditioners are in full precision: in a whole song, 275 GFLOP took 3.4 s, while
steps read 25 billion weights in a second (`python -m bench.whole_song`, two idle cores)."""
READING_ROW_SHARE = 0.01
"""Part of a step that each further row adds where steps are as long as reading their weights takes:
of large models, and on GPUs. In a whole song on two idle cores, steps of 8 rows took 31 to 33 ms,
for which `CPU_WEIGHTS_PER_SEC` says 32 ms with one (`python -m bench.whole_song`); for a GPU
`python -m bench.model sizes` predicts less. Plans keep `ROW_SHARE`, since the plan is the song."""
WINDOW = "window"
"""The beginning of a window, among the parts of a job."""
_MEASURED_SHARE = 0.5
"""Weight of a new measurement in the mean of those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpeed:
    """How fast one model is on one machine, as far as that is known.

    rows             of each level, by its label, that are sampled together there
    steps            seconds of a step of one row of each level, and of one with all its `rows`, or
                     with `PLANNED_ROWS` where these are fewer
    product_sec      seconds of a multiplication in each other part of a job (`jobs/forecast.py`),
                     and in what windows of a level begin with
    weights_per_sec  that a step reads, as a guess; None where nobody can tell
    is_on_gpu        where the model is computed
    has_spare_core   other work is done beside the tokens, which do not wait for it
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    steps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    product_sec: Mapping[str, float] = field(default_factory=dict)
    weights_per_sec: float | None = None
    is_on_gpu: bool = False
    has_spare_core: bool = False

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "ModelSpeed":
        """From what `asdict` gave; fields of a newer release are passed over."""
        known = {each.name for each in dataclass_fields(cls)}
        return cls(**{name: value for name, value in fields.items() if name in known})

    def costs_of(
        self, level: Level, prior: JukeboxPriorConfig, step_sec: float | None = None
    ) -> StepCosts:
        """The model of costs for the rows that are sampled together here.

        With the seconds of a step of one row, windows begin as they did in earlier songs.
        """
        max_rows = max(self.rows.get(level.label, PLANNED_ROWS), 1)
        costs = StepCosts.of(
            prior,
            max_rows=max_rows,
            row_share=self._row_share(level, min(max_rows, PLANNED_ROWS)),
            products_per_weight=self.products_of(WINDOW),
            read_share=1.0 / PRODUCTS_PER_WEIGHT_ON_GPU if self.is_on_gpu else READ_SHARE,
        )
        measured = self.product_sec.get(window_part(level.label))
        if measured is None or step_sec is None:
            return costs
        return replace(costs, window=measured * conditioner_products(prior) / step_sec)

    def _row_share(self, level: Level, measured_rows: int) -> float:
        if level.label in self.steps and measured_rows > 1:
            alone, together = self.steps[level.label]
            return max(together / alone - 1.0, 0.0) / (measured_rows - 1)
        is_reading = self.is_on_gpu or self.weights_per_sec is not None
        return READING_ROW_SHARE if is_reading else ROW_SHARE

    def products_of(self, kind: str) -> float:
        """Multiplications of a kind of work in the time in which a step reads one weight."""
        products = PRODUCTS_PER_WEIGHT_ON_GPU if self.is_on_gpu else PRODUCTS_PER_WEIGHT
        return products / SLOWNESS.get(kind, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """One model on one machine; None where something is not known yet.

    setup                  how it is computed, in words
    memory_bytes           what it takes at most
    seconds_per_second     that one second of music of one take takes
    seconds_in_parallel    the same with `speed: parallel`
    measured_as            what was measured: with another model, setup or release it is due again
    steps                  see `ModelSpeed`
    product_sec            the same, measured in songs
    """

    setup: str
    memory_bytes: int | None = None
    seconds_per_second: float | None = None
    seconds_in_parallel: float | None = None
    measured_as: str | None = None
    steps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    product_sec: Mapping[str, float] = field(default_factory=dict)

    def with_product_sec(self, part: str, seconds: float) -> "ModelFigures":
        """The same after one more measurement of a part of a job."""
        before = self.product_sec.get(part, seconds)
        mean = before + _MEASURED_SHARE * (seconds - before)
        return replace(self, product_sec={**self.product_sec, part: mean})


def window_part(level: str) -> str:
    """By which measurements of the beginning of its windows are kept."""
    return f"{WINDOW}:{level}"


def seconds_of_music(
    config: JukeboxConfig,
    steps: Mapping[Level, float],
    parallel_steps: Mapping[Level, float] | None = None,
) -> tuple[float, float]:
    """Seconds for one second of music of one take: `exact`, and in parallel.

    Args:
        config: the model.
        steps: seconds of a step of one row, for each level.
        parallel_steps: of one token where up to `PLANNED_ROWS` segments are sampled side by side;
            where it is missing, the model of costs tells.
    """
    exact = in_parallel = 0.0
    for level, step in steps.items():
        rate = config.time_base.tokens_per_second(level)
        exact += rate * step
        if level is Level.TOP:
            in_parallel += rate * step
        elif parallel_steps is not None:
            in_parallel += rate * parallel_steps[level]
        else:
            in_parallel += rate * token_cost(step, num_rows=1, num_segments=PLANNED_ROWS)
    return exact, in_parallel


def read_figures(folder: Path) -> dict[str, ModelFigures]:
    """What is kept in a data folder, by the names of the models; nothing where it is broken."""
    try:
        values = read_small_json(folder / FIGURES_FILE)
        return {name: ModelFigures(**figures) for name, figures in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s is not used: %s", folder / FIGURES_FILE, error)
        return {}


def write_figures(folder: Path, figures: Mapping[str, ModelFigures]) -> None:
    """Keep figures of some models, in one step; those of others stay. Raises OSError."""
    kept = read_figures(folder) | dict(figures)
    values = {name: asdict(each) for name, each in sorted(kept.items())}
    with whole_file(folder / FIGURES_FILE) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
