"""Reading the pages: which blocks are to be run, what they should answer, where links lead."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_BLOCK = re.compile(
    r"<!-- test: (?P<group>[\w-]+) -->\n```(?P<language>\w+)\n(?P<code>.*?)```\n"
    r"(?:<!-- answer -->\n```\w+\n(?P<answer>.*?)```\n)?",
    re.DOTALL,
)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@dataclass(frozen=True)
class Block:
    """Code that a reader may copy, and what it should answer; empty when nothing is shown."""

    language: str
    code: str
    answer: str


def blocks_of(page: str, group: str) -> list[Block]:
    """The blocks of one group, in the order in which a reader meets them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(found["language"], found["code"], found["answer"] or "")
        for found in _BLOCK.finditer(text)
        if found["group"] == group
    ]


def links_of(path: Path) -> list[str]:
    """Links to other files of the repository."""
    return _LINK.findall(path.read_text(encoding="utf-8"))
