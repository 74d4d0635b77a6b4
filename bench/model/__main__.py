"""`python -m bench.model WHAT`: what a model takes, and what reduced precision changes in it."""

from collections.abc import Sequence

from bench.commands import run
from bench.model import load, memory, quality, sizes, write


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    run("model", (sizes, memory, load, quality, write), arguments)


if __name__ == "__main__":
    main()
