"""`python -m recipes.mini.evaluate`: measures a codec or a model; JSON in the last line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli import options
from cli.local_model import Device, device_and_dtype, model_directory
from cli.main import run as run_app
from cli.option_groups import grouped
from cli.terminal.console import escape, notes, results
from jukebox_core.units import Level
from recipes.mini.pictures import write_alignment, write_confusion, write_sounds

if TYPE_CHECKING:
    from jukebox_core.vqvae import JukeboxVQVAE
    from recipes.mini.evaluation.mini_settings import Evaluation

app = typer.Typer(
    help="What a model can do, in figures.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder, or a model's name.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="A trial of the command: the figures mean little.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Also write the JSON to this file.")
]


@app.command("codec")
@grouped
def eval_codec(
    *,
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with a list of songs.")],
    levels: Annotated[
        str, typer.Option("--levels", help="Those to examine, e.g. top,bottom.")
    ] = "top,middle,bottom",
    probes: Annotated[str, typer.Option("--probes", help="Levels whose codes are probed.")] = "top",
    songs: Annotated[
        int | None, typer.Option("--songs", min=8, help="Songs that a probe learns from.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="LEVEL=FOLDER",
            help="Take a level as a run of `jukebox train vqvae` that goes on last saved it.",
        ),
    ] = None,
    quick: Quick = False,
    output: Output = None,
    device: Device = "auto",
    places: options.PlacesHere,
) -> None:
    """The gate of a codec: sound, use of the codes, and what a probe finds in the top codes.

    The figures are of the held-out songs of DATA; only the VQ-VAE of MODEL is read.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from dataclasses import replace

    from jukebox_core.checkpoints import load_vqvae_of
    from jukebox_core.training.dataset.data import TrainingData
    from recipes.mini.evaluation import codec
    from recipes.mini.evaluation.ground_truth import known_song

    chosen, _ = device_and_dtype(device)
    vqvae = load_vqvae_of(model_directory(model, places.models_folder), device=chosen).eval()
    _take_runs(vqvae, run or [])
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


def _take_runs(vqvae: "JukeboxVQVAE", runs: list[str]) -> None:
    from recipes.mini.evaluation.run_checkpoint import take_level_from_run

    for name, _, folder in (run.partition("=") for run in runs):
        (level,) = _levels(name)
        step = take_level_from_run(vqvae, level, Path(folder))
        _tell(f"{level.label}: as it was after {step:,} steps")


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
    for name, probe in figures.get("probes", {}).items():
        table = _table(f"probe of {name} codes", "found", "95 %", "chance", "of")
        for kind in ("vowel", "genre", "artist", "pitch"):
            table.add_row(kind, *_share_cells(probe[kind]), f"{probe[kind]['number']:,}")
        notes().print(table)
    if "gate" not in figures:
        return
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


@app.command("mini")
@grouped
def eval_mini(
    *,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, or a model's name.")
    ] = "mini",
    folder: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the JSON, pictures and some songs."),
    ] = None,
    parts: Annotated[
        str, typer.Option("--parts", help="What to measure.")
    ] = "codec,bits,alignment,obedience,lyrics,swap",
    songs: Annotated[int | None, typer.Option("--songs", min=2, help="Songs to draw.")] = None,
    swaps: Annotated[
        int | None, typer.Option("--swaps", min=2, help="Of them with one label changed.")
    ] = None,
    temperature: options.Temperature = None,
    seed_offset: Annotated[
        int, typer.Option(min=0, help="Other songs and chances: for trying settings out.")
    ] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Each draws songs with one thread.")
    ] = None,
    quick: Quick = False,
    device: Device = "auto",
    places: options.PlacesHere,
) -> None:
    """All that a model of synthetic music can do: codec, bits, alignment, obedience, lyrics.

    All songs are new ones of `recipes.mini.synth`, with seeds of their own that never change.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from dataclasses import replace

    from recipes.mini.evaluation.mini import evaluate_mini
    from recipes.mini.evaluation.mini_settings import MiniSettings, quick_settings
    from recipes.mini.evaluation.process_pool import default_processes, process_pool
    from recipes.mini.evaluation.seeds import Seeds

    chosen, _ = device_and_dtype(device)
    settings = quick_settings() if quick else MiniSettings()
    settings = replace(
        settings,
        parts=_parts(parts),
        num_songs=songs or settings.num_songs,
        num_swaps=min(swaps or settings.num_swaps, songs or settings.num_songs),
        temperature=temperature,
        device=str(chosen),
        seeds=Seeds(seed_offset),
    )
    if chosen.type != "cpu":
        processes = 1
    directory = model_directory(model, places.models_folder)
    with process_pool(processes or default_processes()) as pool:
        evaluation = evaluate_mini(directory.resolve(), settings, pool, _tell)
    if folder is not None:
        _write_evaluation(folder, evaluation)
    _show_mini(evaluation.figures)
    _finish(evaluation.figures, None if folder is None else folder / "evaluation.json")


def _parts(names: str) -> tuple[str, ...]:
    from recipes.mini.evaluation.mini_settings import PARTS

    chosen = tuple(name for name in names.split(",") if name)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise typer.BadParameter(f"no part is called {unknown[0]!r}: {', '.join(PARTS)}")
    return chosen


def _write_evaluation(folder: Path, evaluation: "Evaluation") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_sounds(folder, evaluation.sounds, evaluation.sample_rate_hz)
    if evaluation.alignment is not None:
        aligned = evaluation.alignment
        write_alignment(folder / "alignment.png", aligned.attention, aligned.truth)
    for kind, figures in evaluation.figures.get("obedience", {}).items():
        write_confusion(folder / f"confusion-{kind}.png", figures["confusion"])


def _show_mini(figures: dict[str, Any]) -> None:
    if "codec" in figures:
        _show_codec(figures["codec"])
    if "bits" in figures:
        notes().print(_bits_table(figures["bits"]))
    if "alignment" in figures:
        alignment = figures["alignment"]
        notes().print(
            f"alignment: {alignment['share'] or 0:.1%} of {alignment['number']:,} voiced "
            f"tokens within one character (wanted {alignment['wanted']:.0%}; at an even pace "
            f"{alignment.get('even_pace', 0):.1%})"
        )
    if "obedience" in figures:
        notes().print(_obedience_table(figures["obedience"]))
    if "lyrics" in figures:
        notes().print(_lyrics_table(figures["lyrics"]))
    if "swap" in figures:
        notes().print(_swap_table(figures["swap"]))
    notes().print(_criteria_table(figures["criteria"]))


def _criteria_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("wanted", "found", "limit", "")
    for row in rows:
        found = "-" if row["found"] is None else f"{row['found']:.4g}"
        verdict = "[green]reached[/]" if row["reached"] else "[yellow]missed[/]"
        table.add_row(row["what"], found, f"{row['wanted']:.4g}", verdict)
    return table


def _bits_table(figures: dict[str, Any]) -> Table:
    table = _table("level", "bits per token", "unigram", "rise when wrong: bits (p)")
    for name, level in figures.items():
        rises = "   ".join(
            f"{what} {rise['difference']['mean'] or 0:+.3f} ({rise['p_value']:.2g})"
            for what, rise in level["rise"].items()
        )
        mean = level["bits_per_token"]["mean"] or 0.0
        table.add_row(name, f"{mean:.3f}", f"{level['unigram_bits']:.3f}", rises)
    return table


def _obedience_table(figures: dict[str, Any]) -> Table:
    table = _table("drawn songs", "as asked", "95 %", "chance", "shuffled", "ceilings", "new pairs")
    for kind, figure in figures.items():
        ceilings = ", ".join(
            f"{name} {ceiling['share'] or 0:.0%}" for name, ceiling in figure["ceilings"].items()
        )
        apart = figure["pairs_kept_from_training"]
        table.add_row(
            kind,
            *_share_cells(figure),
            f"{figure['shuffled_labels']['mean']:.0%}",
            ceilings,
            f"{apart['hits']} of {apart['number']}",
        )
    return table


def _lyrics_table(figures: dict[str, Any]) -> Table:
    table = _table("sung vowels like", "asked", "reordered", "others'", "p", "d", "p others")
    rows = {"drawn": figures["sung_vowels"], **figures["ceilings"]}
    for name, row in rows.items():
        against = row["own_against_reordered"]
        table.add_row(
            name,
            *(f"{row[what]['mean'] or 0:.3f}" for what in ("own", "reordered", "others")),
            f"{against['p_value']:.2g}",
            f"{against['effect_size_d'] or 0:.2f}",
            f"{row['own_against_others']['p_value']:.2g}",
        )
    return table


def _swap_table(figures: dict[str, Any]) -> Table:
    table = _table("changed", "heard as the new", "95 %", "chance", "before", "other kept")
    for kind in ("genre", "artist"):
        figure = figures[kind]
        cells = _share_cells({**figure["to_the_new"], "chance": figure["chance"]})
        before, kept = figure["new_before"]["share"], figure["other_kept"]["share"]
        table.add_row(kind, *cells, f"{before or 0:.1%}", f"{kept or 0:.1%}")
    lyrics = figures["lyrics"]
    cells = _share_cells({**lyrics["gained"], "chance": 0.5})
    table.add_row("lyrics", *cells, "-", f"p {lyrics['gain_against_none']['p_value']:.2g}")
    return table


if __name__ == "__main__":
    run_app(app)
