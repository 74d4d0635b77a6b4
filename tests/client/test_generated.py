"""What is generated is true: models, the synchronous twin, and a method for every operation."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from jukebox_client import AsyncJukeboxClient, JukeboxClient, models
from jukebox_client.documents import Document

GENERATE = Path(__file__).parents[2] / "client" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", GENERATE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def operations(generate):
    document = generate.openapi_document()
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_generating_again_changes_nothing(generate):
    stale = [
        path.name
        for path, text in generate.generated().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `python client/generate.py`"


def method_name(operation_id):
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", operation_id)


@pytest.mark.parametrize("client", [JukeboxClient, AsyncJukeboxClient])
def test_every_operation_has_a_method(client, operations):
    assert len(operations) > 30
    assert [name for name in operations if not hasattr(client, method_name(name))] == []


def test_every_parameter_of_an_operation_can_be_given(operations):
    """Pages and streams move their own cursors; files are chosen among the outputs of a job."""
    own = {"last-event-id", "Idempotency-Key"}
    chosen = {"downloadAudio": {"sample", "format"}, "getPeaks": {"format"}}
    names = {"q": "text", "name": "model", "job_id": "job"}
    missing = []
    for operation_id, operation in operations.items():
        method = getattr(JukeboxClient, method_name(operation_id))
        taken = set(inspect.signature(method).parameters)
        for parameter in inspect.signature(method).parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                taken |= set(parameter.annotation.__args__[0].__annotations__)
        taken |= chosen.get(operation_id, set())
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            if not {name, names.get(name)} & (taken | own):
                missing.append(f"{operation_id}: {name}")
    assert missing == []


def documents():
    return [
        value
        for value in vars(models).values()
        if inspect.isclass(value) and issubclass(value, Document) and value is not Document
    ]


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.__name__)
def test_a_document_of_another_release_is_read(document):
    """An older service leaves fields out, a newer one adds some and knows more choices."""
    assert document.model_validate({}).to_dict() == {}
    read = document.model_validate({"invented_later": {"a": [1]}})
    assert read.to_dict() == {"invented_later": {"a": [1]}}


def test_a_status_of_a_newer_service_is_kept():
    job = models.Job.model_validate({"id": "job_1", "status": "dreaming", "stage": "master"})
    assert (job.status, job.stage) == ("dreaming", "master")
    asset = models.Asset.model_validate({"kind": "video", "object": "asset2"})
    assert asset.kind == "video"
