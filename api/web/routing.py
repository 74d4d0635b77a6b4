"""What a path takes, asked before the framework routes a request; and HEAD wherever GET is."""

import asyncio

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.disconnect import message_unless

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def allowed_methods(scope: Scope) -> list[str]:
    """The methods of a path, none where nothing lives; HEAD comes with GET."""
    return [method for method in _METHODS if _takes(scope, method)]


def has_endpoint(scope: Scope) -> bool:
    """Whether an endpoint will see this request; otherwise it is a 404, a 405 or a redirect."""
    method: str = scope["method"]
    return method in _METHODS and _takes(scope, method)


def path_with_other_slash(scope: Scope) -> str | None:
    """The path that was meant, where one slash at the end is missing or too many."""
    path: str = scope["path"]
    other = path[:-1] if path.endswith("/") else f"{path}/"
    return other if allowed_methods({**scope, "path": other}) else None


def _takes(scope: Scope, method: str) -> bool:
    return _has_route(scope, method) or (method == "HEAD" and _has_route(scope, "GET"))


def _has_route(scope: Scope, method: str) -> bool:
    """One route alone, as the framework asks it, knows only its own method."""
    asked = {**scope, "method": method}
    return any(route.matches(asked)[0] is Match.FULL for route in scope["app"].router.routes)


class HeadLikeGet:
    """Answers HEAD with the status and headers of GET where no endpoint takes HEAD itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as a GET if need be, whose body nobody sees."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        if not is_head or _has_route(scope, "HEAD"):
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}
        answered = asyncio.Event()

        async def receive_until_answered() -> Message:
            return await message_unless(answered, receive)

        async def send_head(message: Message) -> None:
            if answered.is_set():
                return
            if message["type"] == "http.response.start":
                # For the figures, which are counted by route.
                scope["route"] = as_get.get("route")
                await send(message)
            else:
                # To a stream this looks like a client that left.
                answered.set()
                await send({"type": "http.response.body", "body": b""})

        await self._app(as_get, receive_until_answered, send_head)
