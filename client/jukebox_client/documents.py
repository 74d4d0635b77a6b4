"""What all documents of the service have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    """A JSON object that the service reads or writes.

    Fields that this release does not know are kept (`model_extra`); a field that an older service
    does not send is None, or an empty list or mapping. Dates are `datetime` with a time zone.
    """

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        populate_by_name=True,
        protected_namespaces=(),
        # Most programs read a few kinds of documents, and a command line none before it asks.
        defer_build=True,
    )

    def to_dict(self) -> dict[str, Any]:
        """The document as it was sent, made of what JSON has."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def absent(alias: str | None = None) -> Any:  # noqa: ANN401 - of the type of the field
    """The default of a field that an older service may not send."""
    return Field(default=None, alias=alias)
