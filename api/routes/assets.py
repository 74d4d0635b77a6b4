"""Assets: uploaded audio and codes that jobs can start from."""

import hashlib
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as PathParameter
from starlette.datastructures import FormData, UploadFile

from api.dependencies import Services, ServicesDep, check_data_folder
from api.media import FileRefused, IngestFailed
from api.submission.policy import asset_expires_at
from api.submission.storage import check_room
from api.views.openapi import problems
from api.views.service_schemas import EXAMPLE_ASSET_ID, AssetView
from api.views.views import asset_view
from api.web.callers import Caller, CallerDep
from api.web.errors import ApiError, InvalidRequest, invalid_field
from api.web.idempotency import IdempotencyHeader, named_request
from api.web.proxy import root_path
from jobs.errors import AssetNotFound
from jobs.files.assets import Asset, is_asset_id, new_asset_id
from jobs.idempotency import ANYONE, IdempotencyKey
from jukebox_core.audio.headers import sniff_kind
from jukebox_core.errors import AudioError

router = APIRouter(tags=["assets"])

_CHUNK_BYTES = 1 << 20
_FACTS_BYTES = 1024
"""What is kept beside the content of an asset, at most."""
_SUFFIXES = {
    ".wav": "wav",
    ".wave": "wav",
    ".flac": "flac",
    ".ogg": "ogg",
    ".oga": "ogg",
    ".mp3": "mp3",
    ".opus": "ogg",
    ".aif": "aiff",
    ".aiff": "aiff",
    ".aifc": "aiff",
    ".m4a": "mp4",
    ".mp4": "mp4",
    ".aac": "aac",
    ".webm": "webm",
    ".weba": "webm",
    ".safetensors": "safetensors",
}
"""Endings that promise something."""

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_MULTIPART = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
}


_LOCATION = {"Location": {"description": "The asset", "schema": {"type": "string"}}}
_REPLAYED = {
    "description": "The asset that an earlier request with the same `Idempotency-Key` created",
    "model": AssetView,
    "headers": {
        **_LOCATION,
        "Idempotent-Replayed": {"description": "`true`", "schema": {"type": "string"}},
    },
}


def checked_asset_id(
    asset_id: Annotated[str, PathParameter(description="Asset id", examples=[EXAMPLE_ASSET_ID])],
    caller: CallerDep,
    services: ServicesDep,
) -> str:
    """The id of an asset that this caller may see. Raises AssetNotFound for any other text."""
    if not is_asset_id(asset_id):
        raise AssetNotFound(asset_id[:64])
    if not (caller.sees_all or caller.may_see(services.assets.get(asset_id).owner)):
        raise AssetNotFound(asset_id)
    return asset_id


AssetId = Annotated[str, Depends(checked_asset_id)]


@router.post(
    "/assets",
    operation_id="createAsset",
    summary="Upload a sound or codes",
    status_code=HTTPStatus.CREATED,
    response_description="Created",
    responses={
        200: _REPLAYED,
        201: {"headers": _LOCATION},
        **problems(400, 408, 413, 415, 429, 507),
    },
    openapi_extra=_MULTIPART,
)
async def create_asset(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
) -> AssetView:
    """Send one file as the `file` field of a multipart form.

    Sound: WAV, AIFF, FLAC, OGG (Vorbis, Opus, FLAC) or MP3, at most 600 seconds and 8 channels, at
    8 to 192 kHz. M4A, AAC and WebM are also accepted if the service has PyAV. The file is stored as
    sent and mixed down to mono when a job uses it. Codes: a safetensors file as returned by
    `GET /jobs/{job_id}/codes`, with integer tensors `top`, `middle` and `bottom` of shape
    [songs, tokens]; finer levels may be absent. A file that is truncated, is silent, or does not
    match its file name extension is rejected.

    With an `Idempotency-Key`, a repeated upload of the same file does not create a second asset.
    """
    _check_is_form(request)
    async with services.uploads.form(request, caller.owner) as form:
        upload = _upload_of(form)
        asset, is_replayed = await services.ingest.slots.run(
            caller.owner,
            _take_in,
            services,
            caller,
            upload.file,
            upload.filename or "",
            idempotency_key,
        )
    view = _view(services, request, asset)
    response.headers["Location"] = view.urls.self
    if is_replayed:
        response.status_code = HTTPStatus.OK
        response.headers["Idempotent-Replayed"] = "true"
    return view


def _view(services: Services, request: Request, asset: Asset) -> AssetView:
    return asset_view(
        asset,
        root_path(request.scope),
        asset_expires_at(services.settings, asset),
        stored_bytes=services.assets.stored_bytes(asset.id),
    )


def _check_is_form(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"The body came as {content_type[:100] or 'no type at all'!r}: send a form "
            "(multipart/form-data) with the file in its field `file`.",
        )


def _upload_of(form: FormData) -> UploadFile:
    strange = [name for name in form if name != "file"]
    if strange:
        raise invalid_field("body", strange[:1], "unknown field; the form has one field, `file`")
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise invalid_field(
            "body", ["file"], "this field is required and must be a file with a file name"
        )
    return upload


def _take_in(
    services: Services, caller: Caller, content: IO[bytes], filename: str, key: str | None
) -> tuple[Asset, bool]:
    """The asset, and whether it was there before, through this idempotency key."""
    check_data_folder(services)
    if key is None:
        # With a key it may be here already, and is found by its content.
        check_room(services, caller.owner)
    with services.assets.draft() as folder:
        source, taken = folder / "sent", folder / "taken"
        sha256, num_bytes = _copy(content, source)
        sent = f"{sha256} {_suffix_of(filename)}"
        idempotency = named_request(caller.owner or ANYONE, "assets", key, sent)
        earlier, gone = _earlier(services, idempotency)
        if earlier is not None:
            return earlier, True
        check_room(services, caller.owner)
        try:
            facts = _facts(services, source, taken, _suffix_of(filename))
        except FileRefused as error:
            raise _refusal(str(error)) from error
        except IngestFailed as error:
            raise ApiError(
                HTTPStatus.INTERNAL_SERVER_ERROR, "ingest_failed", f"Sorry, {error}."
            ) from error
        stored = source if facts["kind"] == "audio" else taken
        check_room(services, caller.owner, more_bytes=stored.stat().st_size + _FACTS_BYTES)
        asset = Asset(
            id=new_asset_id(),
            sha256=sha256,
            num_bytes=num_bytes,
            created_at=datetime.now(UTC),
            owner=caller.owner,
            **facts,
        )
        services.assets.keep(stored, asset)
        services.stored_bytes.add(caller.owner, services.assets.stored_bytes(asset.id))
        return _remembered(services, idempotency, asset, gone)


def _earlier(services: Services, idempotency: IdempotencyKey | None) -> tuple[Asset | None, str]:
    """The asset that a key stands for; the id of one that it stood for and that is gone."""
    asset_id = services.store.remembered(idempotency) if idempotency is not None else None
    if asset_id is None:
        return None, ""
    try:
        return services.assets.get(asset_id), ""
    except AssetNotFound:
        return None, asset_id


def _remembered(
    services: Services, idempotency: IdempotencyKey | None, asset: Asset, gone: str
) -> tuple[Asset, bool]:
    """Of two that came at once with one key, the first stays. Raises StoreUnavailable."""
    if idempotency is None:
        return asset, False
    try:
        asset_id = services.store.remember(idempotency, asset.id, gone=gone)
    except BaseException:
        services.assets.delete(asset.id)
        raise
    if asset_id == asset.id:
        return asset, False
    services.assets.delete(asset.id)
    return services.assets.get(asset_id), True


def _copy(content: IO[bytes], target: Path) -> tuple[str, int]:
    digest, num_bytes = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
            file.write(chunk)
    return digest.hexdigest(), num_bytes


def _suffix_of(filename: str) -> str | None:
    """What the name promises; None when it promises nothing."""
    return _SUFFIXES.get(Path(filename.lower()).suffix) if len(filename) < 1000 else None


def _facts(services: Services, source: Path, taken: Path, promised: str | None) -> dict[str, Any]:
    """Fields of the asset. Raises FileRefused, IngestFailed."""
    found = _format_of(source)
    if promised not in (None, found):
        raise FileRefused(
            f"the file is named as {promised} but contains {found}: correct its extension"
        )
    if found == "safetensors":
        codes = services.ingest.codes(source, taken)
        return {"kind": "codes", **codes}
    sound = services.ingest.sound(source)
    return {
        "kind": "audio",
        "audio_format": found,
        "duration_sec": sound["num_frames"] / sound["sample_rate_hz"],
        "sample_rate_hz": sound["sample_rate_hz"],
        "num_channels": sound["num_channels"],
    }


def _format_of(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(9)
    # A safetensors file is a length in 8 bytes and a JSON object of that length.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= source.stat().st_size:
        return "safetensors"
    try:
        return sniff_kind(source)
    except AudioError as error:
        raise FileRefused(f"{error}, and no safetensors file with codes") from error


def _refusal(sentence: str) -> InvalidRequest:
    return invalid_field("body", ["file"], sentence)


@router.get(
    "/assets/{asset_id}",
    operation_id="getAsset",
    summary="Retrieve an asset",
    responses=problems(404),
)
def get_asset(asset_id: AssetId, services: ServicesDep, request: Request) -> AssetView:
    """Returns the properties of the uploaded file."""
    return _view(services, request, services.assets.get(asset_id))


@router.delete(
    "/assets/{asset_id}",
    operation_id="deleteAsset",
    summary="Delete an asset",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Deleted",
    responses=problems(404),
)
def delete_asset(asset_id: AssetId, services: ServicesDep) -> None:
    """Deletes the asset and its file. Jobs that use it have their own copy."""
    services.assets.delete(asset_id)
