"""What the page at /docs says beyond the signatures: problems, examples, one description."""

import threading
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.access.auth import OPEN_PATHS, SESSION_COOKIE
from api.access.signed_urls import PARAMETER as SIGNATURE
from api.access.signed_urls import is_signable
from api.views.event_schemas import payload_schemas
from api.views.job_schemas import EXAMPLE_ID
from api.views.openapi_schemas import settle_schemas
from api.views.service_schemas import EXAMPLE_ASSET_ID
from api.web.errors import PROBLEM_JSON, Problem

DESCRIPTION = """
Create a song from an artist, a genre and lyrics, and download it when it is finished. You can also
start from a recording, continue a song, or upsample a draft.

A job generates a song level by level, from the coarsest (`top`) to the finest (`bottom`). You can
play each finished level before the next is done. Use the links in `urls`. To follow a job, poll it
after `Retry-After` seconds, use `?wait=30`, or subscribe to its events.

Every error is an `application/problem+json` document (RFC 9457) with a stable `code`.
"""

TAGS = [
    {"name": "jobs", "description": "Create, follow and cancel jobs."},
    {"name": "assets", "description": "Uploaded audio and codes that songs can start from."},
    {"name": "files", "description": "Output files of a job."},
    {"name": "models", "description": "Models, and the artists and genres that they know."},
    {"name": "webhooks", "description": "Notifications about jobs."},
    {
        "name": "session",
        "description": "A cookie in place of an API key, for the service's own pages.",
    },
    {"name": "service", "description": "Health, status and metrics."},
]

_PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("malformed_json", "The body cannot be read", "The body is not JSON: ..."),
    401: ("api_key_missing", "An API key is needed", "This service needs an API key: ..."),
    403: ("scope_missing", "Not allowed", "This API key does not have the scope ..."),
    404: ("job_not_found", "The job or file does not exist", "No job has this id: ..."),
    408: ("upload_too_slow", "The upload takes too long", "An upload may take 600 s, at ..."),
    409: ("job_not_finished", "The job's status forbids it", "The job is running and cannot ..."),
    410: ("file_gone", "The file is lost", "The job's record names this file, but ..."),
    413: ("body_too_large", "The body is too large", "The body is larger than 262,144 bytes ..."),
    415: ("unsupported_media_type", "The body is not JSON", "Send JSON with the header ..."),
    416: ("range_not_satisfiable", "The range lies outside the file", "The file has 882044 bytes"),
    422: ("invalid_request", "The request is invalid", "/duration_seconds: must be ..."),
    429: (
        "rate_limited",
        "A rate limit or quota is exceeded",
        "This API key may post 120 times a minute: ...",
    ),
    500: ("internal_error", "Unexpected error", "An unexpected error occurred; ..."),
    507: ("storage_failed", "The disk is full", "The service cannot store this: the disk ..."),
    503: (
        "store_unavailable",
        "The job store is unavailable",
        "The job store cannot be reached ...",
    ),
}


_WITH_RETRY_AFTER = (429, 503, 507)
_ALWAYS = (401, 403, 422, 429, 500, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that may end in these problems; some always may."""
    return {status: _problem_response(status) for status in sorted({*statuses, *_ALWAYS})}


def _problem_response(status: int) -> dict[str, Any]:
    code, description, detail = _PROBLEMS[status]
    example: dict[str, Any] = {
        "type": f"urn:jukebox:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"/jobs/{EXAMPLE_ID}",
        "code": code,
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        pointer = {"in": "body", "pointer": "/duration_seconds", "detail": "must be ..."}
        example["errors"] = [pointer]
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    response: dict[str, Any] = {"description": description, "content": {PROBLEM_JSON: content}}
    if status in _WITH_RETRY_AFTER:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return response


class Documents:
    """The OpenAPI documents of applications with the same routes, with and without keys.

    Of many threads that ask at first, one makes each: it takes a second, and every query needs it.
    """

    def __init__(self) -> None:
        self._made: dict[bool, dict[str, Any]] = {}
        self._making = threading.Lock()

    def of(self, app: FastAPI, *, needs_key: bool) -> dict[str, Any]:
        """That of `app`; nobody may change it."""
        with self._making:
            if needs_key not in self._made:
                self._made[needs_key] = _document(app, needs_key=needs_key)
        return self._made[needs_key]


_SECURITY_SCHEMES = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "`jbx_...`; not required if the service has no API keys",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "From `POST /session`, for the service's own pages",
    },
    "signedUrl": {
        "type": "apiKey",
        "in": "query",
        "name": SIGNATURE,
        "description": "Included in the URLs of `urls.signed` and `signed_url` of a job",
    },
}


def _document(app: FastAPI, *, needs_key: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        tags=app.openapi_tags,
    )
    document["components"]["schemas"].update(payload_schemas())
    settle_schemas(document)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = document["components"]["schemas"]
    components.update(schema.pop("$defs", {}))
    components["Problem"] = schema
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    for path, methods in document["paths"].items():
        if path not in OPEN_PATHS:
            for method, operation in methods.items():
                ways = ["apiKey", "session"]
                if is_signable(path.replace("{job_id}", EXAMPLE_ID), method.upper()):
                    ways.append("signedUrl")
                operation["security"] = [{way: []} for way in ways] + ([] if needs_key else [{}])
    # Put in last: the framework drops every null from examples that it is given.
    components["JobView"]["examples"] = [EXAMPLE_JOB]
    return document


EXAMPLE_REQUEST: dict[str, Any] = {
    "model": "mini",
    "artist": "orlavane",
    "genre": "tidedub",
    "lyrics": "Hello, hello, is anybody there?",
    "duration_seconds": 10,
    "song_duration_seconds": 30,
    "seed": 7,
    "sampling": {"top": {"temperature": 0.98}},
    "audio_format": "flac",
}

DRAFT_REQUEST: dict[str, Any] = {
    "model": "mini",
    "artist": "orlavane",
    "genre": "tidedub",
    "duration_seconds": 10,
    "num_samples": 3,
    "levels": ["top"],
}


PRIMED_REQUEST: dict[str, Any] = {
    "mode": "primed",
    "model": "mini",
    "artist": "orlavane",
    "genre": "tidedub",
    "prompt": {"asset_id": EXAMPLE_ASSET_ID, "start_seconds": 5, "seconds": 4},
    "duration_seconds": 10,
}

CONTINUE_REQUEST: dict[str, Any] = {
    "mode": "continue",
    "parent_id": EXAMPLE_ID,
    "sample": 1,
    "cut_seconds": 8.5,
    "duration_seconds": 10,
}

UPSAMPLE_REQUEST: dict[str, Any] = {"mode": "upsample", "parent_id": EXAMPLE_ID, "sample": 1}

SPLICE_REQUEST: dict[str, Any] = {
    "mode": "splice",
    "parts": [
        {"source": EXAMPLE_ID, "end_seconds": 6},
        {"source": EXAMPLE_ID, "sample": 1, "start_seconds": 2, "end_seconds": 4},
        {"source": EXAMPLE_ID, "start_seconds": 6},
    ],
}
REDO_REQUEST: dict[str, Any] = {
    "mode": "redo",
    "parent_id": EXAMPLE_ID,
    "sample": 1,
    "start_seconds": 4,
    "end_seconds": 7.5,
    "lyrics": "And now for something else",
    "num_samples": 3,
}

ANNOTATIONS: dict[str, Any] = {"title": "Rain", "tags": ["demo", "slow"], "favorite": True}


def _example_resolution(version: str) -> dict[str, Any]:
    return {
        "version": version,
        "artist": {"name": "orlavane", "id": 4, "known": True},
        "genres": [{"name": "tidedub", "id": 8, "known": True}],
    }


def _example_progress(level: str, done: int, total: int, windows: int) -> dict[str, Any]:
    return {
        "level": level,
        "tokens_done": done,
        "tokens_total": total,
        "windows_done": done * windows // total,
        "windows_total": windows,
    }


_PATH = f"/jobs/{EXAMPLE_ID}"

EXAMPLE_JOB: dict[str, Any] = {
    "object": "job",
    "id": EXAMPLE_ID,
    "status": "running",
    "stage": "middle",
    "created_at": "2026-11-22T07:30:00Z",
    "started_at": "2026-11-22T07:30:01Z",
    "completed_at": None,
    "expires_at": None,
    "codes_expire_at": None,
    "deleted_at": None,
    "pinned": False,
    "deadline_at": None,
    "title": "Is anybody there?",
    "tags": ["demo"],
    "favorite": True,
    "notes": None,
    "metadata": {},
    "queue_position": None,
    "eta_seconds": 6.4,
    "progress": {
        "value": 0.21,
        "level": "middle",
        "levels": [
            _example_progress("top", 625, 625, 5),
            _example_progress("middle", 1250, 2500, 10),
            _example_progress("bottom", 0, 10_000, 40),
        ],
    },
    "duration_seconds": 10.0,
    "parent_id": None,
    "parent_ids": [],
    "parts": None,
    "section": None,
    "root_id": EXAMPLE_ID,
    "owner": None,
    "outputs": [
        {
            "level": "top",
            "sample": 0,
            "url": f"{_PATH}/audio?sample=0&level=top&format=wav",
            "signed_url": None,
            "format": "wav",
            "duration_seconds": 10.0,
            "sample_rate_hz": 16_000,
            "channels": 1,
            "bytes": 320_044,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }
    ],
    "labels": {
        "top": _example_resolution("v3"),
        "middle": _example_resolution("v2"),
        "bottom": _example_resolution("v2"),
    },
    "lyrics_as_read": "Hello, hello, is anybody there?",
    "warnings": [],
    "seed": 7,
    "attempt": 1,
    "metrics": {
        "queue_seconds": 1.0,
        "levels": {"top": {"seconds": 1.3, "tokens_per_second": 480.8}},
    },
    "error": None,
    "urls": {
        "self": _PATH,
        "events": f"{_PATH}/events",
        "cancel": f"{_PATH}/cancel",
        "retry": f"{_PATH}/retry",
        "pin": f"{_PATH}/pin",
        "audio": f"{_PATH}/audio",
        "live": f"{_PATH}/live",
        "codes": f"{_PATH}/codes",
        "alignment": f"{_PATH}/alignment",
        "lyrics": f"{_PATH}/lyrics",
        "children": f"{_PATH}/children",
        "peaks": f"{_PATH}/peaks",
        "spectrogram": f"{_PATH}/spectrogram.png",
        "archive": f"{_PATH}/archive",
        "signed": None,
    },
    "input": {
        **EXAMPLE_REQUEST,
        "mode": "ancestral",
        "lyrics_format": "plain",
        "artist_id": None,
        "genre_ids": None,
        "prompt": None,
        "parent_id": None,
        "sample": None,
        "timeout_seconds": None,
        "cut_seconds": None,
        "parts": None,
        "mend_seconds": None,
        "start_seconds": None,
        "end_seconds": None,
        "offset_seconds": 0.0,
        "num_samples": 1,
        "levels": ["top", "middle", "bottom"],
        "speed": "exact",
        "channels": 1,
        "stereo_genres": None,
        "webhook_url": None,
        "webhook_events": ["job.succeeded", "job.failed", "job.canceled", "job.expired"],
        "sampling": {
            level: {"temperature": 0.99, "top_k": 0, "top_p": 0.0, "hop_fraction": None}
            for level in ("top", "middle", "bottom")
        },
    },
}
"""A job half-way, complete and true to the schema."""
