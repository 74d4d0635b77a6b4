"""Options that commands take together, as one parameter."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cli.option_groups import grouped


@dataclass(frozen=True, kw_only=True)
class Meal:
    bread: Annotated[int, typer.Option("--bread", help="Slices.")] = 1
    soup: Annotated[str, typer.Option(help="What kind.")] = "pea"
    tip: Annotated[float, typer.Option(help="What is left on the table.")]


@dataclass(frozen=True, kw_only=True)
class FreeMeal(Meal):
    soup: Annotated[str, typer.Option(help="What is there.")] = "leek"
    tip: float = field(default=0.0, init=False)


def run(command, *arguments):
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def eaten_by(kind, *arguments):
    eaten = []

    @grouped
    def eat(*, place: str, meal: kind, twice: bool = False) -> None:
        """Eat."""
        eaten.append((place, meal, twice))

    result = run(eat, *arguments)
    assert result.exit_code == 0, result.output
    return eaten[0] if eaten else result.output


def test_the_fields_of_a_group_are_options_of_the_command():
    words = ("home", "--soup", "fish", "--twice", "--bread", "3", "--tip", "0.5")
    assert eaten_by(Meal, *words) == ("home", Meal(bread=3, soup="fish", tip=0.5), True)


def test_a_group_without_an_option_hides_it_and_gives_others_defaults_of_its_own():
    place, meal, twice = eaten_by(FreeMeal, "out")
    assert (place, meal, twice) == ("out", FreeMeal(bread=1, soup="leek"), False)
    text = eaten_by(FreeMeal, "--help")
    assert "What is there." in text
    assert "--tip" not in text


def test_options_stand_where_the_group_stands_in_the_order_of_its_fields():
    names = ("--bread", "--soup", "--tip", "--twice")
    text = eaten_by(Meal, "--help")
    assert [text.index(name) for name in names] == sorted(text.index(name) for name in names)


@pytest.mark.parametrize("words", [("home",), ("home", "--tip", "much")])
def test_what_typer_refuses_of_an_option_it_refuses_of_a_field(words):
    @grouped
    def eat(*, place: str, meal: Meal) -> None:
        raise AssertionError(place, meal)

    result = run(eat, *words)
    assert result.exit_code == 2
    assert "--tip" in result.output
