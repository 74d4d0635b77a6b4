"""`jukebox eval`: what a codec keeps and what a model can do, in figures; JSON in the last line."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli import options
from cli.console import escape, notes, results
from cli.local_model import Device, device_and_dtype, model_directory
from jukebox_core.units import Level

eval_app = typer.Typer(help="What a model can do, in figures.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder, or a model's name.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="A trial of the command: the figures mean little.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Also write the JSON to this file.")
]


@eval_app.command("codec")
def eval_codec(
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with a list of songs.")],
    levels: Annotated[
        str, typer.Option("--levels", help="Those to examine, e.g. top,bottom.")
    ] = "top,middle,bottom",
    probes: Annotated[str, typer.Option("--probes", help="Levels whose codes are probed.")] = "top",
    songs: Annotated[
        int | None, typer.Option("--songs", min=8, help="Songs that a probe learns from.")
    ] = None,
    quick: Quick = False,
    output: Output = None,
    device: Device = "auto",
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    models_dir: options.ModelsDir = None,
) -> None:
    """The gate of a codec: sound, use of the codes, and what a probe finds in the top codes.

    The figures are of the held-out songs of DATA; only the VQ-VAE of MODEL is read.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from dataclasses import replace

    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.evaluation import codec
    from jukebox_core.evaluation.known_songs import known_song
    from jukebox_core.training.data import TrainingData

    chosen, _ = device_and_dtype(device)
    vqvae = load_vqvae_of(
        model_directory(model, options.models_folder(data_dir, models_dir)), device=chosen
    ).eval()
    settings = codec.QUICK if quick else codec.CodecSettings()
    settings = replace(
        settings,
        levels=_levels(levels),
        probe_levels=_levels(probes),
        num_probe_songs=songs or settings.num_probe_songs,
    )
    training_data = TrainingData(data, vqvae.config.sample_rate_hz, report=_tell)
    learnt = training_data.songs()[: 2 * settings.num_probe_songs]
    figures = codec.evaluate_codec(
        vqvae,
        [known_song(song) for song in learnt],
        [known_song(song) for song in training_data.songs(held_out=True)],
        settings,
        _tell,
    )
    _show_codec(figures)
    _finish(figures, output)


def _levels(names: str) -> tuple[Level, ...]:
    try:
        return tuple(Level.from_label(name) for name in names.split(",") if name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _tell(line: str) -> None:
    notes().print(escape(line))


def _finish(figures: dict[str, Any], output: Path | None) -> None:
    text = json.dumps(figures)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    results().print(escape(text))


def _show_codec(figures: dict[str, Any]) -> None:
    table = _table("level", "SNR dB", "convergence", "LSD dB", "codes used", "perplexity", "share")
    for name, level in figures["levels"].items():
        table.add_row(
            name,
            f"{level['snr_db']:.1f}",
            f"{level['spectral_convergence']:.3f}",
            f"{level['log_spectral_distance_db']:.1f}",
            f"{level['codes_used']:,} of {level['codes']:,}",
            f"{level['perplexity']:,.0f}",
            f"{level['perplexity_share']:.0%}",
        )
    notes().print(table)
    for name, probe in figures["probes"].items():
        table = _table(f"probe of {name} codes", "found", "95 %", "chance", "of")
        for kind in ("vowel", "genre", "artist"):
            table.add_row(kind, *_share_cells(probe[kind]), f"{probe[kind]['number']:,}")
        notes().print(table)
    gate = figures["gate"]
    notes().print("the gate is passed" if gate["passed"] else "the gate is not passed")
    for sentence in gate["missed"]:
        notes().print(escape(f"  {sentence}"))


def _share_cells(figure: dict[str, Any]) -> tuple[str, str, str]:
    low, high = figure["interval_95"]
    if figure["share"] is None:
        return "-", "-", "-"
    chance = figure.get("chance")
    return (
        f"{figure['share']:.1%}",
        f"{low:.0%} to {high:.0%}",
        "-" if chance is None else f"{chance:.1%}",
    )


def _table(*headings: str) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
