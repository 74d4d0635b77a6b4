"""Options that go together: the fields of a dataclass, which commands take as one parameter.

typer makes an option of each parameter of a function. A `grouped` command looks to typer as if the
fields stood among its parameters.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option in place of every field of those parameters that are dataclasses.

    The fields' types are what typer takes: `Annotated` with an option. A subclass gives a field
    another default or help in its old place; with `field(init=False)` the command lacks the option.
    """
    parameters = inspect.signature(command).parameters
    groups: dict[str, type[DataclassInstance]] = {
        name: each.annotation
        for name, each in parameters.items()
        if isinstance(each.annotation, type) and is_dataclass(each.annotation)
    }
    options = [
        option
        for name, each in parameters.items()
        for option in (_options(groups[name]) if name in groups else [each])
    ]

    @wraps(command)
    def run(**typed: object) -> None:
        for name, group in groups.items():
            typed[name] = group(**{each.name: typed.pop(each.name) for each in _typed(group)})
        command(**typed)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


def _options(group: "type[DataclassInstance]") -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=each.type,
        )
        for each in _typed(group)
    ]


def _typed(group: "type[DataclassInstance]") -> list[Field[Any]]:
    return [each for each in fields(group) if each.init]
