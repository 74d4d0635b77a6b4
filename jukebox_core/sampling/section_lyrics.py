"""The lyrics of a section that is sung again: their place in the text, and how they are read.

A prior reads the characters around a place of the text that moves on evenly with the song. So the
characters of a section are those that fall to its time, up to the nearest borders of words. While
the section is sung with other words, the prior reads a text in which these fall to exactly its
time: the words around them are kept next to them, and what is too much or missing further away is
left out or made up for with line breaks. No torch.
"""

from dataclasses import dataclass

MAX_PACED_CHARACTERS = 20_000
"""What falls to the whole song at most: 33 characters a second of ten minutes. Lyrics that are
denser in their section are read on behind its end."""


@dataclass(frozen=True, slots=True)
class SectionText:
    """The text of a song, of which the characters [start, end) belong to a section."""

    text: str
    start: int
    end: int

    @property
    def lyrics(self) -> str:
        """The section's part."""
        return self.text[self.start : self.end]


def section_of(text: str, start_share: float, end_share: float) -> SectionText:
    """The part of a text that falls to [start_share, end_share) of the song's length."""
    start = _word_border(text, round(len(text) * start_share))
    end = _word_border(text, round(len(text) * end_share))
    return SectionText(text, start, max(start, end))


def _word_border(text: str, place: int) -> int:
    """The nearest place to begin a word at; 0 and the end of the text are such places, too."""
    borders = (
        border
        for distance in range(len(text) + 1)
        for border in (place - distance, place + distance)
        if border in (0, len(text))
        or (0 < border < len(text) and text[border - 1].isspace() and not text[border].isspace())
    )
    return next(borders)


def with_lyrics(old: SectionText, lyrics: str) -> SectionText:
    """The song's text with other lyrics for the section, in lines of their own."""
    before = old.text[: old.start].rstrip()
    after = old.text[old.end :].lstrip()
    lyrics = lyrics.strip()
    start = len(before) + bool(before and lyrics)
    parts = [part for part in (before, lyrics, after) if part]
    return SectionText("\n".join(parts), start, start + len(lyrics))


def paced(
    section: SectionText, start_share: float, end_share: float, window_characters: int
) -> str:
    """A text for the prior in which the section's lyrics fall to [start_share, end_share).

    Args:
        section: the song's text.
        start_share: where the section begins, as a share of the song's length.
        end_share: where it ends.
        window_characters: what the prior reads at once. A text that is not longer is read whole,
            wherever the window lies, and needs no padding.

    Returns:
        the text; empty where nothing is sung in the section.
    """
    lyrics = section.lyrics
    if not lyrics.strip():
        return ""
    # As characters of the whole song. Faster than that nobody sings, nor would the text be kept.
    density = min(len(lyrics) / max(end_share - start_share, 1e-9), MAX_PACED_CHARACTERS)
    num_before = round(density * start_share)
    num_after = max(round(density) - num_before - len(lyrics), 0)
    before = section.text[max(section.start - num_before, 0) : section.start]
    after = section.text[section.end :][:num_after]
    if len(before) + len(lyrics) + len(after) <= window_characters:
        return before + lyrics + after
    return before.rjust(num_before, "\n") + lyrics + after.ljust(num_after, "\n")
