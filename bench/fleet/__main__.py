"""`python -m bench.fleet WHAT`: how many cards a number of songs takes, and what they cost."""

from collections.abc import Sequence

from bench.commands import run
from bench.fleet import calibrate, predict


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure or predict, and print one line of JSON."""
    run("fleet", (predict, calibrate), arguments)


if __name__ == "__main__":
    main()
