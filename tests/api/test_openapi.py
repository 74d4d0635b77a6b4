"""The OpenAPI document tells the truth."""

import json
import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from api.views.event_schemas import JOB_EVENTS
from api.views.job_schemas import JobView
from api.views.openapi import Documents
from api.web.middleware import BYTES
from jobs.api_keys import ApiKeyFile, Scope
from jobs.record.bodies import MODES, JobBody
from jukebox_core.models.catalog import BUNDLED_MODELS
from tests.api.conftest import Service, serving

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

OPERATION_IDS = {
    "createAsset",
    "getAsset",
    "deleteAsset",
    "listChildren",
    "downloadAlignment",
    "getPeaks",
    "getSpectrogram",
    "downloadArchive",
    "getLyrics",
    "previewLyrics",
    "createJob",
    "updateJob",
    "listJobs",
    "getJob",
    "cancelJob",
    "retryJob",
    "pinJob",
    "unpinJob",
    "deleteJob",
    "restoreJob",
    "streamJobEvents",
    "streamEvents",
    "streamAudio",
    "checkLive",
    "downloadAudio",
    "checkAudio",
    "downloadCodes",
    "checkCodes",
    "listModels",
    "searchArtists",
    "searchGenres",
    "getWebhookSecret",
    "openSession",
    "getSession",
    "closeSession",
    "checkHealth",
    "checkReadiness",
    "getSystem",
    "getMetrics",
}


@pytest.fixture
async def document(service: Service) -> dict[str, Any]:
    response = await service.client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_every_operation_is_named_and_described(document: dict[str, Any]):
    found = operations(document)
    assert {operation["operationId"] for _, operation in found} == OPERATION_IDS
    for name, operation in found:
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name


async def test_every_operation_declares_its_problems(document: dict[str, Any]):
    for name, operation in operations(document):
        errors = {
            status: response
            for status, response in operation["responses"].items()
            if status.startswith(("4", "5"))
        }
        assert "500" in errors, name
        if "{job_id}" in name:
            assert {"404", "503"} <= set(errors), name
        for status, response in errors.items():
            content = response["content"]
            assert list(content) == ["application/problem+json"], f"{name} {status}"
            problem = content["application/problem+json"]
            assert problem["schema"]["$ref"] == "#/components/schemas/Problem"
            assert str(problem["example"]["status"]) == status


async def test_the_problem_schema_is_in_the_document_and_no_other(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert {"type", "title", "status", "detail", "instance", "code"} <= set(
        schemas["Problem"]["properties"]
    )
    assert "HTTPValidationError" not in schemas
    assert set(schemas["FieldError"]["properties"]) == {"in", "pointer", "detail"}


async def test_every_reference_leads_somewhere(document: dict[str, Any]):
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [ref for value in node.values() for ref in references(value)]
        if isinstance(node, list):
            return [ref for value in node for ref in references(value)]
        return []

    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


@pytest.fixture
async def with_mini(clean_redis_url, tmp_path) -> AsyncIterator[Service]:
    """A fresh service, which has the models of the package: examples name one of them."""
    async with serving(clean_redis_url, BUNDLED_MODELS, tmp_path) as service:
        yield service


async def test_the_examples_are_true(with_mini: Service):
    service = with_mini
    document = (await service.client.get("/openapi.json")).json()
    post = document["paths"]["/jobs"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        TypeAdapter(JobBody).validate_python(example["value"])
        if example["value"].get("mode", "ancestral") != "ancestral":
            continue
        response = await service.client.post("/jobs", json=example["value"])
        assert response.status_code == 202, response.text
    schema_examples = document["components"]["schemas"]["AncestralBody"]["examples"]
    for example in schema_examples:
        assert (await service.client.post("/jobs", json=example)).status_code == 202
    real = await service.post(model="mini")
    for example in document["components"]["schemas"]["JobView"]["examples"]:
        JobView.model_validate(example)
        assert example.keys() == real.keys()
        assert example["progress"].keys() == real["progress"].keys()
        assert example["input"].keys() == real["input"].keys()
        assert example["labels"]["top"].keys() == real["labels"]["top"].keys()


async def test_every_mode_has_its_own_body_and_an_example(document: dict[str, Any]):
    content = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    references = [each["$ref"].rpartition("/")[2] for each in content["schema"]["oneOf"]]
    schemas = document["components"]["schemas"]
    modes = [schemas[name]["properties"]["mode"] for name in references]
    ancestral, null = modes[0]["anyOf"]
    assert (ancestral["const"], ancestral["default"], null) == (
        MODES[0],
        MODES[0],
        {"type": "null"},
    )
    assert [mode["const"] for mode in modes[1:]] == list(MODES[1:])
    examples = content["examples"].values()
    assert {example["value"].get("mode", "ancestral") for example in examples} == set(MODES)


async def test_the_success_of_a_post_is_a_202_and_a_repetition_a_200(document: dict[str, Any]):
    responses = document["paths"]["/jobs"]["post"]["responses"]
    assert {status for status in responses if status.startswith("2")} == {"200", "202"}
    assert "Location" in responses["202"]["headers"]
    assert "Idempotent-Replayed" in responses["200"]["headers"]


async def test_a_key_is_declared_as_needed_where_it_is(service: Service):
    def security(document: dict[str, Any]) -> list[dict[str, Any]]:
        return document["paths"]["/jobs"]["get"]["security"]

    before = (await service.client.get("/openapi.json")).json()
    assert security(before) == [{"apiKey": []}, {"session": []}, {}]
    ApiKeyFile(service.data_dir).create("me", [Scope.READ])
    after = (await service.client.get("/openapi.json")).json()
    assert security(after) == [{"apiKey": []}, {"session": []}]
    events = after["paths"]["/jobs/{job_id}/events"]
    assert events["get"]["security"] == [{"apiKey": []}, {"session": []}, {"signedUrl": []}]
    assert "security" not in after["paths"]["/healthz"]["get"]


async def test_every_optional_field_of_a_body_may_be_null(document: dict[str, Any]):
    names = ("AncestralBody", "PrimedBody", "ContinueBody", "UpsampleBody", "AudioPrompt")
    schemas = document["components"]["schemas"]
    for name in (*names, "LevelSampling", "SamplingRequest"):
        for field, schema in schemas[name]["properties"].items():
            optional = field not in schemas[name].get("required", ())
            assert ({"type": "null"} in schema.get("anyOf", ())) == optional, f"{name}.{field}"


def schemas_sent_and_returned(document: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Names of the schemas that requests refer to, and of all others."""
    schemas = document["components"]["schemas"]

    def names(node: Any) -> set[str]:
        found = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(node)))
        return found.union(*(names(schemas[name]) for name in found)) if found else found

    bodies = [operation.get("requestBody") for _, operation in operations(document)]
    sent = names(bodies)
    return sent, set(schemas) - sent - {"Problem", "FieldError"}


async def test_a_field_with_a_default_need_not_be_sent(document: dict[str, Any]):
    """Several generators require what has a default beside its type."""
    sent, _ = schemas_sent_and_returned(document)
    assert {"AncestralBody", "SamplingRequest", "LevelSampling"} <= sent
    for name in sent:
        schema = document["components"]["schemas"][name]
        for field, content in schema["properties"].items():
            assert "default" not in content, f"{name}.{field}"
    lyrics = document["components"]["schemas"]["AncestralBody"]["properties"]["lyrics"]
    assert lyrics["anyOf"][0]["default"] == ""


async def test_every_field_of_an_answer_is_promised(document: dict[str, Any]):
    _, returned = schemas_sent_and_returned(document)
    assert {"JobView", "JobRequest", "LevelSamplingView", "ProgressEvent"} <= returned
    for name in returned:
        schema = document["components"]["schemas"][name]
        assert set(schema.get("properties", ())) == set(schema.get("required", ())), name


async def test_every_schema_has_its_own_name_as_title(document: dict[str, Any]):
    """Some generators name their classes by title, and two of one name are none."""
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []
    assert {name: schema["title"] for name, schema in schemas.items()} == {n: n for n in schemas}


async def test_the_data_of_every_event_has_a_schema(document: dict[str, Any]):
    answer = document["paths"]["/jobs/{job_id}/events"]["get"]["responses"]["200"]
    stream = answer["content"]["text/event-stream"]
    assert stream["schema"]["type"] == "string"
    for item in stream["itemSchema"]["oneOf"]:
        reference = item["properties"]["data"]["contentSchema"]["$ref"]
        assert reference.rpartition("/")[2] in document["components"]["schemas"]


async def test_events_are_as_their_schemas_say(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    kinds = set()
    for event in await service.watcher_events(job["id"]):
        data = event.data if event.kind == "progress" else {**event.data, "job": job}
        JOB_EVENTS[event.kind].model_validate(data)
        kinds.add(event.kind)
    assert kinds == set(JOB_EVENTS) - {"snapshot"}


async def test_files_are_also_sent_as_bytes(service: Service, document: dict[str, Any]):
    answer = document["paths"]["/jobs/{job_id}/audio"]["get"]["responses"]["200"]
    assert list(answer["content"])[-1] == BYTES
    job = await service.post()
    service.worker.sing(job["id"])
    for accept, sent in ((BYTES, BYTES), ("*/*", "audio/wav")):
        response = await service.client.get(job["urls"]["audio"], headers={"accept": accept})
        assert response.headers["content-type"] == sent
        assert response.content.startswith(b"RIFF")


def test_the_document_is_made_once_however_many_ask_at_first(monkeypatch):
    made = []

    def make(app, needs_key):
        made.append(needs_key)
        time.sleep(0.05)
        return {}

    monkeypatch.setattr("api.views.openapi._document", make)
    documents, app = Documents(), FastAPI()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: documents.of(app, needs_key=False), range(8)))
    assert made == [False]
