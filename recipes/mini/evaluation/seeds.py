"""The seeds of the evaluation, fixed once and for all, and far from any that songs are made with.

Nothing may be tuned to them: whoever tries settings out does so with others (`offset`).
"""

from dataclasses import dataclass

_JUDGE_SONGS = 2**40
_UNHEARD_SONGS = 2**41
_CEILING_SONGS = 2**42
_ASKED_SONGS = 2**43


@dataclass(frozen=True, slots=True)
class Seeds:
    """Where each kind of song and chance begins; `offset` makes another evaluation of it."""

    offset: int = 0

    def judge_song(self, index: int) -> int:
        """A song that judges learn from."""
        return _JUDGE_SONGS + self._shift + index

    def unheard_song(self, index: int) -> int:
        """A song that the codec is measured with, and the bits of the priors."""
        return _UNHEARD_SONGS + self._shift + index

    def ceiling_song(self, index: int) -> int:
        """A song that judges are examined with."""
        return _CEILING_SONGS + self._shift + index

    def asked_song(self, index: int) -> int:
        """A song whose words are asked of the model."""
        return _ASKED_SONGS + self._shift + index

    @property
    def chance(self) -> int:
        """Seed of what is drawn by the model, and of orders of labels."""
        return 4_000 + self.offset

    @property
    def _shift(self) -> int:
        return self.offset * 2**24
