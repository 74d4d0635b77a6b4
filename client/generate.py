"""Writes the parts of the client that follow from something else: `python client/generate.py`.

* `jukebox_client/models.py`: the documents of the service, from its OpenAPI document.
* `jukebox_client/sync/`: the synchronous client, from the asynchronous one.

A test runs it and finds that nothing changes.
"""

import json
import keyword
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.asgi import build_app
from api.settings import ApiSettings

PACKAGE = Path(__file__).parent / "jukebox_client"
Node = Mapping[str, Any]

_NAMES = {
    "SystemView": "SystemStatus",
    "JobErrorView": "JobFailure",
    "WarningView": "JobWarning",
    "Problem": "",
}
"""Names that would say something else in Python; no class where empty."""
_QUERIES = {"listJobs": "ListJobsQuery", "previewLyrics": "LyricsQuery"}
"""Operations with more parameters than are written down in the client."""
_SCALARS = {"integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_STRINGS = {"date-time": "AwareDatetime"}
_SYNC = {
    "AsyncIterator": "Iterator",
    "AsyncJukeboxClient": "JukeboxClient",
    "AsyncTransport": "Transport",
    "AsyncFiles": "Files",
    "AsyncClient": "Client",
    "asynccontextmanager": "contextmanager",
    "asynchronous": "synchronous",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aread": "read",
    "aiter_lines": "iter_lines",
    "aiter_bytes": "iter_bytes",
    "aio": "sync",
}


def main() -> None:
    """Write the files."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


def generated() -> dict[Path, str]:
    """Every generated file and its text."""
    texts = {PACKAGE / "models.py": models_of(openapi_document())}
    for name in ("transport.py", "files.py", "client.py"):
        texts[PACKAGE / "sync" / name] = synchronous((PACKAGE / "aio" / name).read_text("utf-8"))
    return {path: formatted(text) for path, text in texts.items()}


def openapi_document() -> dict[str, Any]:
    """The document of the service in this checkout; nothing is started."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        settings = ApiSettings(
            redis_url="redis://127.0.0.1:1/0", data_dir=data_dir, models_dir=data_dir
        )
        return build_app(settings).openapi()


def synchronous(text: str) -> str:
    """The synchronous twin of a module."""
    text = re.sub(r"\b(async|await) ", "", text)
    names = "|".join(_SYNC)
    return re.sub(rf"\b({names})\b", lambda found: _SYNC[found[1]], text)


def formatted(text: str) -> str:
    """As the formatter of the project leaves it, imports in order."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(PACKAGE / "module.py"), "-"]
    fixes = ["check", "--fix", "--unsafe-fixes", "--quiet", "--select", "I,UP028"]
    for command in (fixes, ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *command, *name], input=text, text=True, capture_output=True, check=True
        )
        text = done.stdout
    return text


_HEAD = '''"""The documents of the service; `client/generate.py` writes them from its OpenAPI one.

Choices are open (`Literal[...] | str`): a newer service may know more of them.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from pydantic import AwareDatetime, Field

from jukebox_client.documents import Document, absent
'''


def models_of(document: Node) -> str:
    """The module with a class for every schema that is an object, and the types around them."""
    schemas = {name: each for name, each in document["components"]["schemas"].items()}
    chosen = {_name(name): (name, schema) for name, schema in reversed(schemas.items())}
    bodies = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    body = _union(_type(each) for each in bodies["schema"]["oneOf"])
    fields: dict[str, list[str]] = {}
    for each in bodies["schema"]["oneOf"]:
        for field, schema in schemas[each["$ref"].rpartition("/")[2]]["properties"].items():
            fields.setdefault(field, []).append(_type(schema))
    named = schemas["AnnotationChanges"]["properties"]
    changes = {field: [_type(schema)] for field, schema in named.items()}
    documents = [name for name, (_, schema) in chosen.items() if "enum" not in schema]
    parts = [_HEAD]
    parts += [_model(name, *chosen[name]) for name in _in_order(chosen)]
    parts.append(f'JobBody = {body}\n"""The body of `POST /jobs`, for each mode."""\n')
    parts.append(_typed_dict("JobFields", "Fields of `JobBody`, of every mode.", fields, documents))
    for _, operation in _operations(document):
        if query := _QUERIES.get(operation["operationId"]):
            given = [each for each in operation["parameters"] if each["in"] == "query"]
            fields = {each["name"]: [_type(each["schema"])] for each in given}
            about = f"Parameters of `{operation['operationId']}`."
            parts.append(_typed_dict(query, about, fields, documents))
    parts.append(_typed_dict("JobChanges", "Fields of `AnnotationChanges`.", changes, documents))
    parts.append(_event_data(document))
    return "\n\n".join(parts)


def _operations(document: Node) -> Iterator[tuple[str, Node]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _name(schema_name: str) -> str:
    """`JobView` is a `Job`; what is both sent and returned is one class."""
    return _NAMES.get(schema_name, schema_name.removesuffix("View"))


def _in_order(chosen: Mapping[str, tuple[str, Node]]) -> list[str]:
    """The names, each behind those that it refers to."""
    done: list[str] = []

    def add(name: str) -> None:
        if name in done or not name:
            return
        for reference in re.findall(r"#/components/schemas/(\w+)", json.dumps(chosen[name][1])):
            add(_name(reference))
        done.append(name)

    for name in sorted(chosen):
        add(name)
    return done


def _model(name: str, schema_name: str, schema: Node) -> str:
    if "enum" in schema:
        return f"{name} = {_type(schema)}\n{_doc(schema, '')}"
    lines = [f"class {name}(Document):", _doc(schema, "    ")]
    required = schema.get("required", ())
    for field, content in schema["properties"].items():
        declared = _field(content, is_required=field in required)
        if keyword.iskeyword(field):
            declared, field = declared.replace("absent(", f'absent("{field}"'), f"{field}_"
        lines.append(f"    {field}: {declared}")
        if "description" in content:
            lines.append(_doc(content, "    "))
    return "\n".join(lines) + "\n"


def _field(schema: Node, *, is_required: bool) -> str:
    """Type and default: what an older service leaves out is None, or empty."""
    kind = _type(schema)
    if kind.startswith("list[") and "None" not in kind:
        return f"{kind} = Field(default_factory=list)"
    if kind.startswith("dict[") and "None" not in kind:
        return f"{kind} = Field(default_factory=dict)"
    return f"{kind} = absent()" if is_required else f"{_union([kind, 'None'])} = None"


def _typed_dict(
    name: str, about: str, fields: Mapping[str, Sequence[str]], documents: Sequence[str]
) -> str:
    """Where a document may also be sent as a mapping, and a moment as text."""
    also = {"AwareDatetime": "AwareDatetime | str"}
    also |= {document: f"{document} | Mapping[str, Any]" for document in documents if document}
    names = re.compile(rf"\b({'|'.join(also)})\b(?!\")")
    lines = [f'class {name}(TypedDict, total=False):\n    """{about}"""\n']
    for field, kinds in fields.items():
        lines.append(f"    {field}: {names.sub(lambda found: also[found[1]], _union(kinds))}")
    return "\n".join(lines) + "\n"


def _event_data(document: Node) -> str:
    """The data of each event of each stream."""
    lines = []
    for _, operation in _operations(document):
        for response in operation["responses"].values():
            stream = response.get("content", {}).get("text/event-stream", {})
            items = [each["properties"] for each in stream.get("itemSchema", {}).get("oneOf", ())]
            kinds = {each["event"]["const"]: _type(each["data"]["contentSchema"]) for each in items}
            if kinds:
                entries = ", ".join(f'"{event}": {kind}' for event, kind in kinds.items())
                lines.append(f"    {json.dumps(operation['operationId'])}: {{{entries}}},")
    return "\n".join(
        [
            "EVENT_DATA: Mapping[str, Mapping[str, type[Document]]] = {",
            *lines,
            "}",
            '"""The data of each event, by operation and name."""\n',
        ]
    )


def _type(schema: Node) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _union(_type(each) for each in schema[key])
    if "const" in schema or "enum" in schema:
        choices = schema.get("enum", [schema.get("const")])
        kinds = {type(each).__name__ for each in choices}
        return f"Literal[{', '.join(json.dumps(each) for each in choices)}] | {kinds.pop()}"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties", {})
        return f"dict[str, {_type(values if isinstance(values, dict) else {})}]"
    if kind == "string":
        return _STRINGS.get(schema.get("format", ""), "str")
    return _SCALARS.get(kind or "", "Any")


def _union(kinds: Any) -> str:  # noqa: ANN401 - any iterable of texts
    """The types without repetitions, None at the end."""
    single = dict.fromkeys(part for kind in kinds for part in re.split(r" \| (?![^\[]*\])", kind))
    in_order = [kind for kind in single if kind != "None"] + ["None"] * ("None" in single)
    return "Any" if "Any" in single else " | ".join(in_order)


def _doc(schema: Node, indent: str) -> str:
    text = schema.get("description", "").replace("\\", "\\\\")
    if len(text) + len(indent) + 6 <= 100 and "\n" not in text:
        return f'{indent}"""{text}"""'
    first, *rest = [
        line
        for paragraph in text.split("\n\n")
        for line in [*textwrap.wrap(" ".join(paragraph.split()), 94 - len(indent)), ""]
    ]
    lines = [f'{indent}"""{first}', *[f"{indent}{line}" if line else "" for line in rest[:-1]]]
    return "\n".join(lines) + f'\n{indent}"""'


if __name__ == "__main__":
    main()
