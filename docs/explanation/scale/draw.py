"""Draws the figures of `docs/explanation/scale.md` from the results beside this file.

`python docs/explanation/scale/draw.py [NAME=FILE ...]` needs matplotlib. With NAME=FILE the last
line of what a measurement printed is first saved as NAME.json. Known names:

crowd      `bench.serve crowd`: one API with a full store, a fleet and a crowd of watchers
retention  `bench.serve retention`: memory while jobs come and go
waits      `bench.fleet calibrate`: waiting times beside those that the simulation predicts
fleets     `bench.fleet predict`: cards and dollars
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("crowd", "retention", "waits", "fleets")
_SIZE, _DPI = (7.0, 2.8), 90


def main(arguments: Sequence[str]) -> None:
    """Take results over if told where from, and draw what is there."""
    for argument in arguments:
        name, _, file = argument.partition("=")
        if name not in NAMES:
            raise SystemExit(f"{name!r} is not known: {', '.join(NAMES)}")
        keep(Path(file), HERE / f"{name}.json")
    for name, draw in (("retention", _memory), ("waits", _waits), ("fleets", _splits)):
        file = HERE / f"{name}.json"
        if file.is_file():
            _save(draw, json.loads(file.read_text(encoding="utf-8")), HERE / f"{name}.png")


def keep(printed: Path, kept: Path) -> None:
    """The last line of what was printed, which is JSON, so that lines can be compared later."""
    last = printed.read_text(encoding="utf-8").splitlines()[-1]
    kept.write_text(json.dumps(json.loads(last), indent=1) + "\n", encoding="utf-8")


def _save(draw: Any, told: Mapping[str, Any], file: Path) -> None:  # noqa: ANN401
    # Imported here: it is no dependency.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=_SIZE)
    draw(axis, told)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=_DPI)
    pyplot.close(figure)


def _memory(axis: Any, told: Mapping[str, Any]) -> None:  # noqa: ANN401
    series = told["retention"]["series"]
    seconds = [each["second"] for each in series]
    for name, label in (("api_mb", "API, resident"), ("server_mb", "Valkey, used")):
        axis.plot(seconds, [each[name] for each in series], label=label)
    axis.plot(
        seconds,
        [each["jobs"] / 100 for each in series],
        color="gray",
        linewidth=1,
        label="jobs in the store, hundreds",
    )
    axis.set_xlabel(f"seconds; {told['retention']['jobs']:,} jobs in all", fontsize=8)
    axis.set_ylabel("MB", fontsize=8)
    axis.set_ylim(bottom=0)


def _waits(axis: Any, told: Mapping[str, Any]) -> None:  # noqa: ANN401
    rows = told["calibrate"]["waits"]
    for number, (name, label) in enumerate(
        (
            ("measured_mean_sec", "measured, mean"),
            ("fitted_mean_sec", "predicted, mean"),
            ("measured_p90_sec", "measured, 90 %"),
            ("fitted_p90_sec", "predicted, 90 %"),
        )
    ):
        left = [at + 0.2 * number - 0.3 for at in range(len(rows))]
        axis.bar(left, [row[name] for row in rows], 0.18, label=label)
    axis.set_xticks(range(len(rows)), [f"{row['workers']} workers" for row in rows])
    axis.set_ylabel("seconds in the queue", fontsize=8)


def _splits(axis: Any, told: Mapping[str, Any]) -> None:  # noqa: ANN401
    volumes = told["predict"]["volumes"]
    names = list(volumes[0]["splits"])
    for number, name in enumerate(names):
        left = [at + 0.25 * (number - 1) for at in range(len(volumes))]
        heights = [100 * volume["splits"][name]["usd_per_song"] for volume in volumes]
        axis.bar(left, heights, 0.23, label=name)
    axis.set_xticks(
        range(len(volumes)), [f"{volume['songs_per_day']:,.0f} a day" for volume in volumes]
    )
    axis.set_yscale("log")
    axis.set_ylabel("US cents per song, predicted", fontsize=8)


if __name__ == "__main__":
    main(sys.argv[1:])
