"""`jukebox train prior`: the prior of one level."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.training import options
from cli.commands.training.encode import check_use
from cli.commands.training.new import DataFolder, ModelFolder
from cli.commands.training.steps import after_prior, say_next
from cli.option_groups import grouped

if TYPE_CHECKING:
    from jukebox_core.training.dataset.data import TrainingData
    from jukebox_core.units import Level


@dataclass(frozen=True, kw_only=True)
class _PriorRun(options.RunOptions):
    weight_decay: options.WeightDecay = 0.01
    ema_decay: options.Ema = 0.999


@dataclass(frozen=True, kw_only=True)
class _Lessons:
    """Options named as the fields of `PriorSettings`; None is the default of the level."""

    start_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of training windows that start at the beginning of a song."
        ),
    ] = None
    end_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of training windows that end with a song."),
    ] = None
    label_dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Probability of replacing the artist, and separately the genre, with unknown.",
        ),
    ] = None
    upper_noise: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of random codes in the level above.")
    ] = None
    own_errors: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of codes read that the prior draws itself."),
    ] = None
    guide_weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the lyrics alignment loss.")
    ] = None
    guide_final: Annotated[
        float | None, typer.Option(min=0, help="Final value of --guide-weight, reached linearly.")
    ] = None
    bar_position_weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the bar position loss.")
    ] = None
    metre_weight: Annotated[float | None, typer.Option(min=0, hidden=True)] = None
    guide_steps: Annotated[
        int | None,
        typer.Option(min=0, help="Steps until --guide-final is reached; 0: the whole run."),
    ] = None
    evaluation_windows: Annotated[
        int | None, typer.Option(min=1, help="Number of held-out windows to evaluate.")
    ] = None
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Part to freeze, e.g. conditioner or transformer.layers.0; can be repeated.",
        ),
    ] = None

    def asked(self) -> dict[str, Any]:
        """What was typed, by the names of `PriorSettings`; None for the rest."""
        asked = asdict(self)
        bar_position_weight = asked.pop("bar_position_weight")
        if bar_position_weight is not None:
            asked["metre_weight"] = bar_position_weight
        return asked | {"freeze": tuple(self.freeze) if self.freeze else None}


@grouped
def prior(
    *,
    context: typer.Context,
    data: DataFolder,
    model: ModelFolder,
    level: options.LevelName,
    run: _PriorRun,
    lessons: _Lessons,
) -> None:
    """Train the prior of one level of MODEL on the songs in DATA.

    Training starts from the current weights. Songs that are not encoded yet are encoded first, so
    the VQ-VAE must be finished. The lyrics alignment loss requires character times in DATA.
    """
    options.begin(f"training the {level} prior of {model}")
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.models.catalog import read_config
    from jukebox_core.training.dataset.data import TrainingData
    from jukebox_core.training.priors.settings import default_prior_settings
    from jukebox_core.training.priors.task import PriorTask

    chosen = options.level_named(level)
    run = run.with_preset(context, "prior", level)
    settings = run.settings()
    config = read_config(model)
    defaults = default_prior_settings(config.prior(chosen))
    prior_settings = options.with_given(defaults, lessons.asked())
    songs = TrainingData(data, config.vqvae.sample_rate_hz, report=options.report)
    _check_codes(songs, data, model, chosen)
    report = options.report_once()
    options.run_training(
        lambda settings: PriorTask(chosen, songs, model, settings, prior_settings, report=report),
        settings,
        run.folder(model, f"prior-{level}"),
        run,
    )
    say_next(after_prior(data, model, level, run.preset))


def _check_codes(songs: "TrainingData", data: Path, model: Path, level: "Level") -> None:
    """Compute the codes that the prior needs, and make sure that they can teach it something."""
    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.training.dataset.code_use import code_use
    from jukebox_core.training.dataset.codes_cache import song_codes

    vqvae = load_vqvae_of(model)
    levels = [level] if level.upper is None else [level.upper, level]
    codes = [song_codes(songs, vqvae, each, report=options.report) for each in levels]
    check_use([code_use(each, vqvae.config.num_codes) for each in codes], data, model)
