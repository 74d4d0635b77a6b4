"""Codes take the name of their codec along; those of two codecs are not joined."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.files.stored_codes import open_codes_file
from tests.api.conftest import Service
from tests.api.sounds import codes_file, sent
from tests.api.test_modes import accepted, refused

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

ONE, OTHER = "1" * 16, "2" * 16


async def uploaded(service: Service, top: str | None, middle: str | None = None) -> dict[str, Any]:
    named = {"codebook_top": top, "codebook_middle": middle}
    metadata = {"model": "tiny"} | {key: value for key, value in named.items() if value}
    content = codes_file(num_samples=1, levels=2, metadata=metadata)
    return await sent(service, content, "a.safetensors")


def named_by(service: Service, job: dict[str, Any]) -> dict[str, str | None]:
    name = service.store.get(job["id"]).prompt_codes_name
    assert name is not None
    codes, _ = open_codes_file(service.artifacts.path(job["id"], name))
    return {level: each.codebook for level, each in codes.items()}


def from_asset(asset: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "prompt": {"asset_id": asset["id"]},
        "model": "tiny",
        "artist": "",
        "genre": "drone",
        **more,
    }


async def test_what_goes_on_from_uploaded_codes_names_their_codec(service: Service) -> None:
    asset = await uploaded(service, ONE, OTHER)
    body = from_asset(asset, mode="continue", duration_seconds=1, levels=["top", "middle"])
    assert named_by(service, await accepted(service, **body)) == {"top": ONE, "middle": OTHER}
    unknown = await uploaded(service, None)
    body = from_asset(unknown, mode="upsample")
    assert named_by(service, await accepted(service, **body)) == {"top": None, "middle": None}


async def test_what_goes_on_from_a_job_names_its_codec(service: Service, tmp_path: Path) -> None:
    parent = await service.post(levels=["top"])
    service.worker.sing(parent["id"])
    record = service.store.get(parent["id"])
    assert record.codes_name is not None
    codes = service.artifacts.read_all_codes(record.id, record.codes_name)
    path = service.artifacts.path(record.id, record.codes_name)
    name = service.artifacts.write_all_codes(
        record.id, fence=99, codes=codes, metadata={"codebook_top": ONE}
    )
    shutil.move(service.artifacts.path(record.id, name), path)
    for body in (
        {"mode": "continue", "duration_seconds": 1},
        {"mode": "upsample"},
        {"mode": "redo", "start_seconds": 1, "end_seconds": 2},
    ):
        job = await accepted(service, parent_id=parent["id"], **body)
        assert named_by(service, job) == {"top": ONE}
    parts = [{"source": parent["id"], "end_seconds": 4}, {"source": parent["id"]}]
    assert named_by(service, await accepted(service, mode="splice", parts=parts)) == {"top": ONE}


async def test_parts_of_two_codecs_are_refused_where_their_levels_are_used(
    service: Service,
) -> None:
    one, other = await uploaded(service, ONE, ONE), await uploaded(service, ONE, OTHER)
    unknown = await uploaded(service, None)
    parts = [{"source": each["id"]} for each in (unknown, one, other)]
    body = {"mode": "splice", "parts": parts, "artist": "", "genre": "drone"}
    sentence = await refused(service, "/parts/2/source", **body)
    assert f"the middle level were made with the codebook {OTHER}" in sentence
    assert "different codecs cannot be joined" in sentence
    job = await accepted(service, **body, levels=["top"])
    assert named_by(service, job) == {"top": ONE}
    body["parts"] = parts[:2]
    assert named_by(service, await accepted(service, **body)) == {"top": ONE, "middle": ONE}
