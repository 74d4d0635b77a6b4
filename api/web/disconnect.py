"""Noticing that a client has gone, while there is something to wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.types import Message, Receive


@asynccontextmanager
async def client_disconnecting(request: Request) -> AsyncIterator["asyncio.Future[None]"]:
    """A future that is done when the client has closed its connection.

    Only for endpoints that read no body: what is left of one is thrown away here.
    """
    leaving = asyncio.ensure_future(_until_gone(request))
    try:
        yield leaving
    finally:
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def message_unless(ended: asyncio.Event, receive: Receive) -> Message:
    """What the client sends next; once `ended` is set, that it is gone."""
    message = asyncio.ensure_future(receive())
    end = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
        return message.result() if message.done() else {"type": "http.disconnect"}
    finally:
        for task in (message, end):
            task.cancel()
