"""What each model takes on one machine: memory, and time for a second of music. Kept on disk.

Workers write it, beside the data of their songs; commands without a service read it. No torch.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jukebox_core.atomic_files import whole_file
from jukebox_core.config import JukeboxConfig
from jukebox_core.sampling.step_cost import PLANNED_ROWS, token_cost
from jukebox_core.small_files import read_small_json
from jukebox_core.units import Level

log = logging.getLogger(__name__)

FIGURES_FILE = "models-here.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """One model on one machine; None where something is not known yet.

    setup                  how it is computed, in words
    memory_bytes           what it takes at most
    seconds_per_second     that one second of music of one take takes
    seconds_in_parallel    the same with `speed: parallel`
    measured_as            what was measured: with another model, setup or release it is due again
    """

    setup: str
    memory_bytes: int | None = None
    seconds_per_second: float | None = None
    seconds_in_parallel: float | None = None
    measured_as: str | None = None


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
