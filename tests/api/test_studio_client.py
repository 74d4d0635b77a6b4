"""The page asks for what the API offers, and reads what it answers."""

import re
from typing import Any

import pytest

from studio.files import STATIC
from tests.api.conftest import Service

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

LINE = re.compile(r'^  (\w+): \["([A-Z]+)", "([^"]+)"\],$', re.MULTILINE)
INTERFACE = re.compile(r"^export interface (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
PROPERTY = re.compile(r"^  (\w+)(\??):", re.MULTILINE)
VIEWS = {
    "Job": "JobView",
    "JobInput": "JobRequest",
    "JobUrls": "JobUrls",
    "JobError": "JobErrorView",
    "Progress": "ProgressView",
    "LevelProgress": "LevelProgressView",
    "LevelSampling": "LevelSampling",
    "Output": "OutputView",
    "SongPart": "PartView",
    "Warning": "WarningView",
    "Model": "ModelView",
    "ModelLevel": "ModelLevelView",
    "ModelLimits": "ModelLimits",
    "Worker": "WorkerView",
    "System": "SystemView",
    "Disk": "DiskView",
    "Lyrics": "LyricsView",
    "LyricsWord": "LyricsWordView",
}


@pytest.fixture
async def document(service: Service) -> dict[str, Any]:
    return (await service.client.get("/openapi.json")).json()


def operations() -> dict[str, tuple[str, str]]:
    text = (STATIC / "lib" / "operations.js").read_text(encoding="utf-8")
    return {name: (method, path) for name, method, path in LINE.findall(text)}


def interfaces() -> dict[str, list[str]]:
    """Names of the properties that every service answers with; others are marked with `?`."""
    text = (STATIC.parent / "types.d.ts").read_text(encoding="utf-8")
    return {
        name: [each for each, mark in PROPERTY.findall(body) if not mark]
        for name, body in INTERFACE.findall(text)
    }


def schema_of(document: dict[str, Any], view: str) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    return schemas.get(view) or schemas[f"{view}-Output"]


async def test_every_operation_of_the_page_is_one_of_the_api(document: dict[str, Any]):
    offered = {
        operation["operationId"]: (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    }
    asked = operations()
    assert len(asked) > 15
    assert {name: offered.get(name) for name in asked} == asked


async def test_every_field_that_the_page_reads_is_answered(document: dict[str, Any]):
    read = interfaces()
    assert read.keys() == VIEWS.keys()
    for name, fields in read.items():
        assert set(fields) <= schema_of(document, VIEWS[name])["properties"].keys(), name


def test_every_operation_that_a_script_names_is_in_the_table():
    named = {
        name
        for path in STATIC.rglob("*.js")
        if "vendor" not in path.parts
        for name in re.findall(r'\b(?:call|send|urlOf)\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert named <= operations().keys()
