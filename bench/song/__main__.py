"""`python -m bench.song WHAT`: songs by the library, their time and their joins."""

from collections.abc import Sequence

from bench.commands import run
from bench.song import redo, speeds, splice, stereo


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    run("song", (speeds, splice, redo, stereo), arguments)


if __name__ == "__main__":
    main()
