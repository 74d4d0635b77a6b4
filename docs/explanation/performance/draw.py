"""Draws the figures of `docs/explanation/performance.md` from the results beside this file.

`python docs/explanation/performance/draw.py [NAME=FILE ...]` needs matplotlib. With NAME=FILE the
last line of what a measurement printed is first saved as NAME.json, e.g. `sample=sample.txt` after
`python -m bench.sample | tee sample.txt`. Known names:

sample  `bench.sample`: tokens per second beside transformers and the floor
full    `bench.sample --full`: the same at released sizes
serve   `bench.serve batch overhead`: where the time of a song goes
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("sample", "full", "serve")
_THEIRS, _FLOOR = "transformers", "floor"
_BAR = 0.8
"""Of the room of a group, the rest is between the groups."""


def main(arguments: Sequence[str]) -> None:
    """Take results over if told where from, and draw what is there."""
    for argument in arguments:
        name, _, file = argument.partition("=")
        if name not in NAMES:
            raise SystemExit(f"{name!r} is not known: {', '.join(NAMES)}")
        keep(Path(file), HERE / f"{name}.json")
    found = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name in NAMES
        if (file := HERE / f"{name}.json").is_file()
    }
    for name in ("sample", "full"):
        if name in found:
            _draw_rates(found[name], HERE / f"{name}.png")
    if "serve" in found and "overhead" in found["serve"]:
        _draw_song(found["serve"], HERE / "song.png")


def keep(printed: Path, kept: Path) -> None:
    """The last line of what was printed, which is JSON, so that lines can be compared later."""
    last = printed.read_text(encoding="utf-8").splitlines()[-1]
    kept.write_text(json.dumps(json.loads(last), indent=1) + "\n", encoding="utf-8")


def rates(rows: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, dict[str, float]]]:
    """Tokens per second by width, then by `prior, batch`, then by who drew.

    Who is `transformers`, each step and precision of ours, and the floor of fp32 or half.
    """
    found: dict[int, dict[str, dict[str, float]]] = {}
    for row in rows:
        group = found.setdefault(row["width"], {}).setdefault(f"{row['prior']}\n{row['batch']}", {})
        if row.get("transformers_tokens_per_sec"):
            group.setdefault(_THEIRS, row["transformers_tokens_per_sec"])
        precision = row.get("precision", "fp32")
        group[f"{row['step']}, {precision}"] = row["tokens_per_sec"]
        if precision != "int8" and row["floor_ms"]:
            group.setdefault(_FLOOR, 1e3 * row["batch"] / row["floor_ms"])
    return found


def song_parts(overhead: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Seconds of each part of a song at each speed, by what came when; the rest is `other`."""
    found = {}
    for speed, figures in overhead.items():
        parts = {name: sec for name, sec in figures["parts"].items() if sec > 0.0}
        found[f"service, {speed}"] = parts
        library = figures["library_parts"]
        found[f"library, {speed}"] = {"drawing": library["draw"], "sound": library["decode"]}
    return found


def _draw_rates(told: Mapping[str, Any], file: Path) -> None:
    pyplot = _pyplot()
    panels = rates(told["rows"])
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(11, 3.4 * len(panels)), squeeze=False)
    for axis, (width, groups) in zip(axes.flat, panels.items(), strict=True):
        who = list(dict.fromkeys(name for group in groups.values() for name in group))
        bars = [name for name in who if name != _FLOOR]
        thick = _BAR / len(bars)
        for number, name in enumerate(bars):
            places = [at for at, group in enumerate(groups.values()) if name in group]
            heights = [group[name] for group in groups.values() if name in group]
            left = [at - _BAR / 2 + (number + 0.5) * thick for at in places]
            axis.bar(left, heights, thick, label=name)
        floors = [
            (at, group[_FLOOR]) for at, group in enumerate(groups.values()) if _FLOOR in group
        ]
        for number, (at, height) in enumerate(floors):
            ends = (at - _BAR / 2, at + _BAR / 2)
            label = "what reading the memory allows" if number == 0 else None
            axis.plot(ends, (height, height), color="black", linewidth=1, label=label)
        axis.set_xticks(range(len(groups)), groups, fontsize=7)
        axis.set_yscale("log")
        axis.set_ylabel("tokens per second", fontsize=8)
        axis.set_title(f"width {width}", fontsize=9)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(fontsize=7)
    figure.suptitle(f"{told['machine']} ({told['device']}); prior and batch", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def _draw_song(told: Mapping[str, Any], file: Path) -> None:
    pyplot = _pyplot()
    songs = song_parts(told["overhead"])
    names = list(dict.fromkeys(name for parts in songs.values() for name in parts))
    figure, axis = pyplot.subplots(figsize=(11, 0.7 + 0.6 * len(songs)))
    left = [0.0] * len(songs)
    for name in names:
        lengths = [parts.get(name, 0.0) for parts in songs.values()]
        axis.barh(list(songs), lengths, left=left, label=name)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("seconds", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=7, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def _pyplot() -> Any:  # noqa: ANN401
    # Imported here: it is no dependency, and what is drawn is tested without it.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


if __name__ == "__main__":
    main(sys.argv[1:])
