"""How many cards does a number of songs a day take, and what do they cost?

`python -m bench.fleet predict` simulates, and `python -m bench.fleet calibrate` compares the
simulation with a real service on this machine; see `bench/README.md`.
"""

import argparse
import os
from collections.abc import Sequence

from bench.fleet.calibrate import calibrate
from bench.fleet.inputs import CARDS
from bench.fleet.predict import predict
from bench.machine import cpu_name, tell
from cli.local.signals import StopSignals


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure or predict, and print one line of JSON."""
    options = _parser().parse_args(arguments)
    found = {"machine": cpu_name(), "cores": os.cpu_count()}
    with StopSignals().listening():  # what was started is ended, whoever stops this
        answer = calibrate(options) if options.what == "calibrate" else predict(options)
    tell({**found, options.what: answer})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    measuring = commands.add_parser("calibrate", help="compare with a real service (2 minutes)")
    measuring.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    measuring.add_argument("--songs", type=int, default=12, help="of each burst")
    measuring.add_argument("--seconds", type=float, default=4.0, help="mean length of a song")
    predicting = commands.add_parser("predict", help="simulate fleets of GPUs")
    predicting.add_argument("--card", choices=CARDS, default="h200")
    predicting.add_argument("--model", choices=("1b_lyrics", "5b_lyrics"), default="5b_lyrics")
    predicting.add_argument("--songs", type=float, nargs="+", default=[1e3, 1e5, 1e6], help="a day")
    predicting.add_argument("--usd-per-hour", type=float, help="of a card, instead of the table's")
    predicting.add_argument("--hours", type=float, default=24.0, help="that are simulated")
    predicting.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
