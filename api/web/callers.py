"""Who asks, as authentication found out (`api/access/auth.py`), and what that caller may see."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope as Connection

from jobs.api_keys import ApiKey, Scope


class Proof(StrEnum):
    """How a request showed its API key."""

    KEY = "key"
    SESSION = "session"
    SIGNATURE = "signature"
    """A signed URL, which is for one resource and must not lead to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`owner` is the id of an API key; None where none is needed, and then everybody is one."""

    owner: str | None
    scopes: frozenset[Scope]
    proof: Proof = Proof.KEY

    @property
    def sees_all(self) -> bool:
        """Whether the jobs of others are there for this caller."""
        return self.owner is None or Scope.ADMIN in self.scopes

    @property
    def listed_owner(self) -> str | None:
        """Whose jobs a list shows; None: everybody's."""
        return None if self.sees_all else self.owner

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed; `admin` allows everything."""
        return bool(self.scopes & {scope, Scope.ADMIN})

    def may_see(self, owner: str | None) -> bool:
        """Whether something of this owner is there for this caller."""
        return self.sees_all or owner == self.owner


ANYBODY = Caller(owner=None, scopes=frozenset(Scope))
"""The one caller of a service that needs no keys."""


def caller_with(key: ApiKey, proof: Proof = Proof.KEY) -> Caller:
    """The caller who showed this key, in this way."""
    return Caller(owner=key.id, scopes=frozenset(key.scopes), proof=proof)


def note_caller(connection: Connection, caller: Caller) -> None:
    """Note down, for the endpoints, who asks."""
    connection.setdefault("state", {})["caller"] = caller


def is_signed(connection: Connection) -> bool:
    """Whether a signed URL has shown who asks."""
    caller: Caller | None = connection.get("state", {}).get("caller")
    return caller is not None and caller.proof is Proof.SIGNATURE


async def caller_of(request: Request) -> Caller:
    """Who asks. Authentication has let nobody pass without noting it down."""
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
