"""What is wrong with the environment of a process, in words for whoever set it."""

from pydantic import ValidationError


def settings_faults(error: ValidationError) -> str:
    """All faults in one line, each after the name of its variable where it is of one alone."""
    faults = []
    for entry in error.errors():
        sentence = entry["msg"].removeprefix("Value error, ")
        sentence = sentence.replace("Field required", "is not set")
        faults.append(": ".join([*map(str, entry["loc"][:1]), sentence]))
    return "; ".join(faults)
