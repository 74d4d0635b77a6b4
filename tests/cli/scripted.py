"""A small HTTP server that answers what a test tells it to, over real sockets."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SOUND = b"RIFF and so on"
ETAG = {"etag": '"1"'}


@dataclass
class Answer:
    """`declared_bytes` larger than the body makes the connection break in the middle."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    declared_bytes: int | None = None


def json_answer(body: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(body).encode(), status, {"content-type": "application/json", **named})


def problem(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None):
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "code": code}
    if errors is not None:
        body["errors"] = errors
    return Answer(json.dumps(body).encode(), status, {"content-type": "application/problem+json"})


def event_stream(*events: tuple[str, Any]) -> Answer:
    lines = [": ping\n\n"]
    for number, (kind, data) in enumerate(events):
        lines.append(f"id: {number}-0\nevent: {kind}\ndata: {json.dumps(data)}\n\n")
    return Answer("".join(lines).encode(), 200, {"content-type": "text/event-stream"})


def job(status: str = "running", **changes: Any) -> dict[str, Any]:
    """A job as `docs/reference/api.md` describes it, for two levels."""
    levels = [
        {
            "level": level,
            "tokens_done": 0,
            "tokens_total": total,
            "windows_done": 0,
            "windows_total": 2,
        }
        for level, total in (("top", 100), ("middle", 400))
    ]
    view: dict[str, Any] = {
        "object": "job",
        "id": "job_1",
        "status": status,
        "stage": "top",
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "completed_at": None,
        "expires_at": None,
        "queue_position": None,
        "eta_seconds": None,
        "progress": {"value": 0.0, "level": "top", "levels": levels},
        "duration_seconds": 2.0,
        "parent_id": None,
        "root_id": "job_1",
        "outputs": [],
        "labels": {},
        "seed": 7,
        "attempt": 1,
        "metrics": {"queue_seconds": None, "levels": {}},
        "error": None,
        "urls": {},
        "input": {
            "mode": "ancestral",
            "sample": None,
            "cut_seconds": None,
            "model": "tiny",
            "artist": "Nobody",
            "genre": "Noise",
            "duration_seconds": 2.0,
            "num_samples": 1,
            "audio_format": "wav",
        },
    }
    return view | changes


def output(
    sound: bytes, *, level: str = "top", sample: int = 0, sha256: str = ""
) -> dict[str, Any]:
    return {
        "level": level,
        "sample": sample,
        "url": "",
        "format": "wav",
        "duration_seconds": 2.0,
        "sample_rate_hz": 16000,
        "bytes": len(sound),
        "sha256": sha256,
    }


class ScriptedService:
    """Answers by (method, path): one answer for good, a list in turn, or a function."""

    def __init__(self) -> None:
        self.script: dict[tuple[str, str], Any] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                path = self.path.partition("?")[0]
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.requests.append((self.command, self.path, headers, body))
                answer = service._answer(self.command, path, headers)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not {"content-length", "transfer-encoding"} & set(answer.headers):
                    size = (
                        len(answer.body)
                        if answer.declared_bytes is None
                        else (answer.declared_bytes)
                    )
                    self.send_header("content-length", str(size))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                if answer.declared_bytes is not None:
                    self.close_connection = True

            do_GET = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def on(self, method: str, path: str, answer: Answer | list[Answer] | Callable[..., Answer]):
        self.script[method, path] = answer

    def asked(self, method: str, path: str) -> list[dict[str, str]]:
        """The headers of every request to one path."""
        return [
            headers
            for asked_method, asked_path, headers, _ in self.requests
            if asked_method == method and asked_path.partition("?")[0] == path
        ]

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        answer = self.script.get((method, path))
        if answer is None:
            return problem(404, "not_found", f"nothing at {path}")
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer(headers) if callable(answer) else answer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def script_a_song(service, *, status="succeeded", **changes):
    outputs = [
        output(SOUND, sample=take, sha256=hashlib.sha256(SOUND).hexdigest()) for take in (0, 1)
    ]
    done = job(status, outputs=outputs, **changes)
    service.on("GET", "/models", json_answer({"data": [{"name": "tiny"}]}))
    service.on("POST", "/jobs", json_answer(job("queued"), 202))
    service.on("GET", "/jobs/job_1", json_answer(done))
    stream = event_stream(
        ("snapshot", job("queued", queue_position=2)), ("status", {"status": status, "job": done})
    )
    service.on("GET", "/jobs/job_1/events", stream)
    service.on("GET", "/jobs/job_1/audio", Answer(SOUND, 200, ETAG))


def posted(service):
    return next(json.loads(body) for method, *_, body in service.requests if method == "POST")
