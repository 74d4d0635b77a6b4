"""Files on their way: one line each at a quarter, half and three quarters, and at the end."""

from rich.console import Console

_STEP = 0.25
_WORTH_A_LINE_BYTES = 1 << 20


class TransferLines:
    """Passes what is fetched and converted on to a console, in lines that a log can keep."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, float] = {}

    def __call__(self, name: str, num_bytes: int, total: int | None) -> None:
        """`num_bytes` of the file `name` are there; it will have `total`, where that is known."""
        if total is None or total < _WORTH_A_LINE_BYTES:
            return
        fraction = num_bytes / total
        if name in self._shown and fraction < 1.0 and fraction < self._shown[name] + _STEP:
            return
        if self._shown.get(name) == 1.0:
            return
        self._shown[name] = fraction
        self._console.print(f"{name}: {num_bytes / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    def part(self, name: str) -> None:
        """The part `name` is being converted."""
        self._console.print(f"writing {name}")
