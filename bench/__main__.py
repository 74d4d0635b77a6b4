"""Lists the measurements."""

from bench.report import print_table

PROGRAMS = {
    "fleet": "How many cards do so many songs a day take, and what do they cost? A simulation",
    "gpu": "What is this GPU worth? All that ten minutes on one can tell",
    "model": "What does a model take: memory, time to load, precision? Random weights to measure",
    "sample": "How many tokens a second, beside transformers and the floor of the machine?",
    "serve": "What does the service add, how does it answer under load, does anything grow?",
    "song": "How long does a song of the library take, and are its joins heard?",
    "whole_song": "How long does one song of the service take, and is its forecast true?",
}


def main() -> None:
    """A line for each; `--help` of a program says what can be chosen."""
    print_table(
        [{"run": f"python -m bench.{name}", "question": PROGRAMS[name]} for name in PROGRAMS]
    )


if __name__ == "__main__":
    main()
