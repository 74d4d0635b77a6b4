"""The schemas of the OpenAPI document, put so that generators of clients read them right.

* A model that is both sent and returned gets a name for each: `X` in requests, `XView` in answers.
* What is returned is complete: null is written, never left out. So all its fields are required, and
  defaults mean nothing there.
* A default of a request stands in the branch of its type. Beside the type, several generators take
  the field for one that must be sent, or refuse a default that is an object.
* Sound and other files are also listed as bytes: generators know no type of sound.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from api.web.middleware import BYTES

Node = dict[str, Any]

_PREFIX = "#/components/schemas/"
_NAMES = {"-Input": "", "-Output": "View"}
"""What the framework adds to the names of models that are sent and returned, and what we write."""


def settle_schemas(document: Node) -> None:
    """Change `document` in place, as the head of this file says."""
    schemas: Node = document["components"]["schemas"]
    for reference in _objects_with(document, "$ref"):
        reference["$ref"] = _renamed(reference["$ref"])
    renamed = {_renamed(name): schema for name, schema in schemas.items()}
    schemas.clear()
    schemas.update(renamed)
    operations = [each for path in document["paths"].values() for each in path.values()]
    sent = _reachable(schemas, [operation.get("requestBody", {}) for operation in operations])
    for name, schema in schemas.items():
        schema["title"] = name
        for field in schema.get("properties", {}).values():
            _move_default(field) if name in sent else field.pop("default", None)
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])
    for operation in operations:
        for response in operation["responses"].values():
            _also_as_bytes(response.get("content", {}))


def _renamed(name: str) -> str:
    for ending, ours in _NAMES.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + ours
    return name


def _objects_with(node: object, key: str) -> Iterator[Node]:
    """Every object in `node` where `key` has a text."""
    if isinstance(node, dict):
        if isinstance(node.get(key), str):
            yield node
        for value in node.values():
            yield from _objects_with(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _objects_with(value, key)


def _reachable(schemas: Node, roots: Iterable[Node]) -> set[str]:
    """Names of the schemas that `roots` refer to, directly or through others."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        for reference in _objects_with(waiting.pop(), "$ref"):
            name = reference["$ref"].removeprefix(_PREFIX)
            if name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _move_default(field: Node) -> None:
    """Into the first branch of a field; a referred schema has the defaults of its own fields."""
    if "default" not in field or "anyOf" not in field:
        return
    default, branch = field.pop("default"), field["anyOf"][0]
    if "$ref" not in branch:
        branch["default"] = default


def _also_as_bytes(content: Node) -> None:
    """Files are also sent as bytes (`api/web/middleware.py`)."""
    schemas = [media.get("schema", {}) for media in content.values()]
    if schemas and all(schema.get("format") == "binary" for schema in schemas):
        content.setdefault(BYTES, {"schema": dict(schemas[0])})
