"""What people write on a job: title, tags, favorite, notes and metadata. No part of what is sung.

It is kept beside the request in the record, and may change at any time, whatever the job's status.
"""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.record.request import Document
from jobs.record.search_terms import folded

MAX_TITLE_CHARACTERS = 200
MAX_TAGS = 16
MAX_TAG_CHARACTERS = 50
MAX_NOTES_CHARACTERS = 2_000
MAX_METADATA_PAIRS = 16

_LINE_BREAKS = ("Zl", "Zp")


def _checked(text: str, allowed: str = "") -> str:
    """Raises PydanticCustomError for control characters."""
    for character in text:
        category = unicodedata.category(character)
        if character not in allowed and (category == "Cc" or category in _LINE_BREAKS):
            raise PydanticCustomError(
                "control_character",
                "holds the control character {name}, which no text needs here",
                {"name": f"U+{ord(character):04X}"},
            )
    return text


def _checked_line(text: str) -> str:
    return _checked(text)


def _checked_lines(text: str) -> str:
    return _checked(text, allowed="\r\n\t")


def _stripped(text: str) -> str:
    """Without blanks around it; nothing of a text of which nothing can be seen."""
    is_visible = any(unicodedata.category(each)[0] not in "CZ" for each in text)
    return text.strip() if is_visible else ""


def _title(text: str) -> str:
    return _stripped(_checked(text))


def _tag(text: str) -> str:
    tag = _stripped(_checked(text))
    if not tag:
        raise PydanticCustomError("blank", "must have a visible character")
    return tag


def _notes(text: str) -> str:
    return _stripped(_checked_lines(text).replace("\r\n", "\n"))


def _unique(tags: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for tag in tags:
        if folded(tag) in seen:
            raise PydanticCustomError("repeated_tag", "holds {tag} twice", {"tag": repr(tag)})
        seen.add(folded(tag))
    return tags


def _or_none(text: str | None) -> str | None:
    return text or None


Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS), AfterValidator(_title)]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARACTERS), AfterValidator(_tag)]
Notes = Annotated[str, Field(max_length=MAX_NOTES_CHARACTERS), AfterValidator(_notes)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_checked_line)]
MetadataValue = Annotated[str, Field(max_length=500), AfterValidator(_checked_lines)]


class Annotations(Document):
    """What every mode of `POST /jobs` takes besides the song."""

    title: Annotated[
        Title | None,
        AfterValidator(_or_none),
        Field(description="What the song is called", examples=["Rain"]),
    ] = None
    tags: Annotated[
        tuple[Tag, ...],
        Field(
            # Not strict: a JSON array is a list, and only a lax tuple takes one.
            strict=False,
            max_length=MAX_TAGS,
            description="Unique, whatever their case",
            json_schema_extra={"uniqueItems": True},
        ),
        AfterValidator(_unique),
    ] = ()
    favorite: bool = False
    notes: Annotated[Notes | None, AfterValidator(_or_none)] = None
    metadata: Annotated[
        dict[MetadataKey, MetadataValue],
        Field(
            default_factory=dict,
            max_length=MAX_METADATA_PAIRS,
            description="Your own names and values, kept as they are",
        ),
    ]


class AnnotationChanges(Annotations):
    """What `PATCH /jobs/{id}` takes: any of it; null or empty clears a field."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, document: Any) -> Any:  # noqa: ANN401  (whatever the client sent)
        """Here null is no omission, but the value of a field that nobody has set."""
        if not isinstance(document, dict):
            return document
        return {
            name: cls.model_fields[name].get_default(call_default_factory=True)
            if value is None and name in cls.model_fields
            else value
            for name, value in document.items()
        }

    def changed_fields(self) -> dict[str, Any]:
        """The fields that the client named, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}
