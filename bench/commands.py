"""The command line of programs that measure several things, `python -m bench.NAME WHAT`."""

import argparse
from collections.abc import Iterable, Sequence
from types import ModuleType

import torch

from bench.machine import describe_machine
from bench.report import tell
from cli.local.signals import StopSignals


def run(program: str, measurements: Sequence[ModuleType], arguments: Sequence[str] | None) -> None:
    """Measure what the command line names; the last line begins with the machine.

    The name of a module is its command, and its docstring the question that it answers; it has
    `add_options(parser)`, and `measure(options)` returns its figures. `--threads` and `--device`,
    where it has them, are those of torch.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{program}")
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    for each in measurements:
        question = str(each.__doc__)
        name = each.__name__.rpartition(".")[2]
        command = commands.add_parser(
            name,
            help=question.splitlines()[0],
            description=question,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        each.add_options(command)
        command.set_defaults(measure=each.measure)
    options = parser.parse_args(arguments)
    torch.set_num_threads(getattr(options, "threads", None) or torch.get_num_threads())
    device = torch.device(getattr(options, "device", "cpu"))
    with StopSignals().listening():  # what was started is ended, whoever stops this
        tell(describe_machine(device) | options.measure(options))


def add_parts(parser: argparse.ArgumentParser, parts: Iterable[str]) -> None:
    """Let a person choose some of the parts of a measurement; by default all are measured."""
    names = list(parts)

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return name

    parser.add_argument(
        "parts", nargs="*", type=known, default=names, metavar="PART", help=", ".join(names)
    )
