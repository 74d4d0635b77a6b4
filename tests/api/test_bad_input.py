"""What cannot be done is refused at once, with a sentence, and leaves nothing behind."""

import json
import re
from typing import Any

import pytest

from jobs.record.annotations import AnnotationChanges
from jobs.record.bodies import AncestralBody
from jobs.record.request import JobRequest, SplicePart
from tests.api.conftest import Service, assert_problem, song
from tests.fixtures.ids import NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

JSON = {"content-type": "application/json"}


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"duration_seconds": "10"}, "/duration_seconds"),
        ({"duration_seconds": True}, "/duration_seconds"),
        ({"duration_seconds": [10]}, "/duration_seconds"),
        ({"duration_seconds": 0}, "/duration_seconds"),
        ({"duration_seconds": -1}, "/duration_seconds"),
        ({"duration_seconds": 1e9}, "/duration_seconds"),
        ({"duration_seconds": 10**400}, "/duration_seconds"),
        ({"duration_seconds": float("nan")}, "/duration_seconds"),
        ({"duration_seconds": float("inf")}, "/duration_seconds"),
        ({"duration_seconds": float("-inf")}, "/duration_seconds"),
        ({"duration_seconds": 0.0001}, "/duration_seconds"),
        ({"duration_seconds": 0.015}, "/duration_seconds"),
        ({"song_duration_seconds": float("nan")}, "/song_duration_seconds"),
        ({"song_duration_seconds": 5}, "/song_duration_seconds"),
        ({"offset_seconds": -0.1}, "/offset_seconds"),
        ({"offset_seconds": float("nan")}, "/offset_seconds"),
        ({"num_samples": 0}, "/num_samples"),
        ({"num_samples": 17}, "/num_samples"),
        ({"num_samples": 1.5}, "/num_samples"),
        ({"num_samples": True}, "/num_samples"),
        ({"seed": -1}, "/seed"),
        ({"seed": 2**53}, "/seed"),
        ({"seed": "7"}, "/seed"),
        ({"artist": 7}, "/artist"),
        ({"artist": "x" * 201}, "/artist"),
        ({"artist": None}, "/artist"),
        ({"genre": None}, "/genre"),
        ({"genre": {"name": "drone"}}, "/genre"),
        ({"lyrics": "la " * 33_334}, "/lyrics"),
        ({"lyrics": ["la"]}, "/lyrics"),
        ({"model": "gpt-4"}, "/model"),
        ({"model": "../../etc/passwd"}, "/model"),
        ({"model": ""}, "/model"),
        ({"model": None}, "/model"),
        ({"levels": []}, "/levels"),
        ({"levels": ["bottom"]}, "/levels"),
        ({"levels": ["top", "bottom"]}, "/levels"),
        ({"levels": ["top", "top"]}, "/levels"),
        ({"levels": ["treble"]}, "/levels/0"),
        ({"levels": "top"}, "/levels"),
        ({"levels": ["top"] * 50}, "/levels"),
        ({"audio_format": "aac"}, "/audio_format"),
        ({"audio_format": None, "audioformat": "wav"}, "/audioformat"),
        ({"sampling": {"top": {"temperature": 0}}}, "/sampling/top/temperature"),
        ({"sampling": {"top": {"temperature": float("nan")}}}, "/sampling/top/temperature"),
        ({"sampling": {"middle": {"top_k": -1}}}, "/sampling/middle/top_k"),
        ({"sampling": {"middle": {"top_p": 1.1}}}, "/sampling/middle/top_p"),
        ({"sampling": {"treble": {}}}, "/sampling/treble"),
        ({"sampling": {"bottom": {"hop": 0.5}}}, "/sampling/bottom/hop"),
        ({"sampling": {"bottom": {"hop_fraction": 1e-9}}}, "/sampling/bottom/hop_fraction"),
        ({"sampling": []}, "/sampling"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"\ud800": 1}, ""),
        ({"artist": "\ud800"}, "/artist"),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
async def test_a_request_that_cannot_be_sung_is_refused_by_field(
    service: Service, changes: dict[str, Any], pointer: str
):
    response = await service.client.post(
        "/jobs", content=json.dumps(song(**changes)).encode(), headers=JSON
    )
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem)[0] == pointer
    assert problem["errors"][0]["in"] == "body"
    assert problem["errors"][0]["detail"]
    assert service.left_behind() == []


async def test_several_mistakes_are_told_together(service: Service):
    response = await service.client.post("/jobs", json={"seed": -1, "color": "blue"})
    problem = assert_problem(response, 422, "invalid_request")
    assert {"/seed", "/color", "/model", "/artist"} <= set(pointers(problem))


async def test_thousands_of_mistakes_are_not_all_told(service: Service):
    response = await service.client.post("/jobs", json={f"field{n}": n for n in range(5000)})
    problem = assert_problem(response, 422, "invalid_request")
    assert len(problem["errors"]) <= 20
    assert len(response.content) < 10_000


async def test_an_unknown_model_is_told_the_known_ones(service: Service):
    response = await service.client.post("/jobs", json=song(model="mega"))
    assert "tiny" in assert_problem(response, 422, "invalid_request")["detail"]


async def test_an_unknown_artist_or_genre_is_allowed(service: Service):
    assert (await service.post(artist="", genre=""))["status"] == "queued"
    assert (await service.post(artist="\x00'; DROP TABLE", genre="日本"))["status"] == "queued"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b'{"model": "tiny",}', "malformed_json"),
        (b"\xff\xfe\xfd", "not_utf8"),
        (b'{"artist": "\xe9"}', "not_utf8"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"a":' * 40_000, "malformed_json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "malformed_json"),
    ],
    ids=["open brace", "comma", "bytes", "latin-1", "deep list", "deep object", "huge number"],
)
async def test_a_body_that_cannot_be_read_is_a_400(service: Service, body: bytes, code: str):
    response = await service.client.post("/jobs", content=body, headers=JSON)
    assert_problem(response, 400, code)
    assert service.left_behind() == []


@pytest.mark.parametrize("body", [b"[]", b"null", b'"tiny"', b"7", b"-1", b""])
async def test_json_that_is_no_object_is_a_422(service: Service, body: bytes):
    response = await service.client.post("/jobs", content=body, headers=JSON)
    assert_problem(response, 422, "invalid_request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_of_another_type_is_a_415(service: Service, content_type: str | None):
    headers = {"content-type": content_type} if content_type else {}
    response = await service.client.post("/jobs", content=json.dumps(song()), headers=headers)
    problem = assert_problem(response, 415, "unsupported_media_type")
    assert "application/json" in problem["detail"]


async def test_a_huge_body_is_a_413_when_it_is_announced(service: Service):
    response = await service.client.post("/jobs", content=b" " * 300_000, headers=JSON)
    assert_problem(response, 413, "body_too_large")
    assert service.left_behind() == []


async def test_a_huge_body_is_a_413_when_it_is_not_announced(service: Service):
    async def chunks():
        for _ in range(100):
            yield b" " * 10_000

    response = await service.client.post("/jobs", content=chunks(), headers=JSON)
    assert_problem(response, 413, "body_too_large")
    assert service.left_behind() == []


BAD_IDS = [
    "1",
    "job_",
    "JOB_" + "a" * 32,
    "job_" + "g" * 32,
    "job_" + "a" * 33,
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "job_" + "a" * 31 + "%0a",
    "job_" + "a" * 32 + "%00",
    "%ff%fe",
    "*",
    "x" * 5000,
]


@pytest.mark.parametrize("job_id", BAD_IDS, ids=lambda job_id: job_id[:20])
@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/events"),
        ("GET", "/audio"),
        ("GET", "/codes"),
    ],
)
async def test_what_is_no_id_is_a_plain_404(
    service: Service, monkeypatch: pytest.MonkeyPatch, job_id: str, method: str, tail: str
):
    def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("a malformed id reached the store or the disk")

    for part, names in ((service.store, ["get", "request_cancel", "delete"]),):
        for name in names:
            monkeypatch.setattr(part, name, unreachable)
    monkeypatch.setattr(service.artifacts, "path", unreachable)
    response = await service.client.request(method, f"/jobs/{job_id}{tail}")
    assert response.status_code == 404, response.text
    assert response.json()["code"] in ("job_not_found", "route_not_found")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": "0"}, "/limit"),
        ({"limit": "101"}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"status": "happy"}, "/status"),
        ({"created_after": "yesterday"}, "/created_after"),
        ({"created_after": "2026-11-22T07:30:00"}, "/created_after"),
        ({"created_after": "0.5"}, "/created_after"),
        ({"created_after": "1795332600"}, "/created_after"),
        ({"cursor": "made-up"}, "/cursor"),
        ({"cursor": "x" * 501}, "/cursor"),
        ({"limt": "5"}, "/limt"),
    ],
    ids=str,
)
async def test_a_list_refuses_what_it_does_not_know(
    service: Service, params: dict[str, str], pointer: str
):
    response = await service.client.get("/jobs", params=params)
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem) == [pointer]
    assert problem["errors"][0]["in"] == "query"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "long"])
async def test_a_wait_outside_its_bounds_is_refused(service: Service, wait: str):
    job = await service.post()
    response = await service.client.get(job["urls"]["self"], params={"wait": wait})
    assert pointers(assert_problem(response, 422, "invalid_request")) == ["/wait"]


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"sample": "-1"}, "/sample"),
        ({"sample": "16"}, "/sample"),
        ({"sample": "first"}, "/sample"),
        ({"level": "treble"}, "/level"),
        ({"format": "aac"}, "/format"),
        ({"format": "../x"}, "/format"),
        ({"quality": "9"}, "/quality"),
    ],
    ids=str,
)
async def test_a_download_refuses_what_it_does_not_know(
    service: Service, params: dict[str, str], pointer: str
):
    path = (await service.post())["urls"]["audio"]
    problem = assert_problem(await service.client.get(path, params=params), 422, "invalid_request")
    assert pointers(problem) == [pointer]


@pytest.mark.parametrize("path", ["/nothing", "/jobs/", "/job", "/jobs/a/b/c", "/static/x", "//"])
async def test_an_unknown_route_is_a_404_problem(service: Service, path: str):
    response = await service.client.get(path, follow_redirects=True)
    assert response.status_code in (200, 404)
    if response.status_code == 404:
        assert_problem(response, 404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET, HEAD, POST"),
        ("DELETE", "/jobs", "GET, HEAD, POST"),
        ("PUT", f"/jobs/{NOBODYS_JOB}", "GET, HEAD, PATCH, DELETE"),
        ("GET", f"/jobs/{NOBODYS_JOB}/cancel", "POST"),
        ("POST", f"/jobs/{NOBODYS_JOB}/audio", "GET, HEAD"),
        ("POST", "/models", "GET, HEAD"),
        ("BREW", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    service: Service, method: str, path: str, allowed: str
):
    response = await service.client.request(method, path)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_no_endpoint_leaves_a_misspelt_parameter_out_in_silence(service: Service):
    document = (await service.client.get("/openapi.json")).json()
    ids = {"{job_id}": NOBODYS_JOB, "{name}": "tiny", "{asset_id}": f"asset_{'0' * 32}"}
    for path, operations in document["paths"].items():
        filled = re.sub(r"{\w+}", lambda found: ids.get(found[0], "x"), path)
        for method, operation in operations.items():
            if method == "head":
                continue
            response = await service.client.request(method, filled, params={"nonsense": 1})
            problem = assert_problem(response, 422, "invalid_request")
            assert pointers(problem) == ["/nonsense"], (method, path)
            declared = [
                parameter["name"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "query" and parameter["name"] != "signature"
            ]
            assert all(name in problem["errors"][0]["detail"] for name in declared), (method, path)


LARGE = b" " * 300_000


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/jobs", 405),
        ("POST", f"/jobs/{NOBODYS_JOB}/audio", 405),
        ("POST", "/models", 405),
        ("POST", "/nothing", 404),
        ("POST", "/jobs/", 307),
        ("POST", "/assets/", 307),
        ("POST", "/jobs", 413),
        ("POST", f"/jobs/{NOBODYS_JOB}/cancel", 413),
    ],
)
async def test_what_the_path_or_the_method_is_wrong_with_comes_before_the_size_of_a_body(
    service: Service, method: str, path: str, status: int, announced: bool
):
    async def chunks():
        for start in range(0, len(LARGE), 10_000):
            yield LARGE[start : start + 10_000]

    content = LARGE if announced else chunks()
    response = await service.client.request(method, path, content=content, headers=JSON)
    assert response.status_code == status
    assert response.headers["connection"] == "close"


async def test_a_wrong_method_comes_before_the_values_of_a_body(service: Service):
    response = await service.client.put("/jobs", json=list(range(5000)))
    assert_problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("method", "path", "location"),
    [
        ("GET", "/jobs/?limit=1&status=queued", "/jobs?limit=1&status=queued"),
        ("POST", "/jobs/", "/jobs"),
        ("GET", "/healthz/", "/healthz"),
        ("PUT", "/jobs/", "/jobs"),
    ],
)
async def test_a_slash_too_many_leads_to_the_path_without(
    service: Service, method: str, path: str, location: str
):
    response = await service.client.request(method, path)
    assert response.status_code == 307
    assert response.headers["location"] == location


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/jobs?limit=1&limit=2", "/limit"),
        ("/jobs?status=queued&limit=5&status=failed", "/status"),
        (f"/jobs/{NOBODYS_JOB}?wait=1&wait=0", "/wait"),
        (f"/jobs/{NOBODYS_JOB}/audio?format=wav&format=mp3", "/format"),
        (f"/jobs/{NOBODYS_JOB}/alignment?sample=0&sample=0", "/sample"),
        ("/models/tiny/artists?q=a&q=b", "/q"),
    ],
)
async def test_a_query_parameter_given_twice_is_refused(service: Service, path: str, pointer: str):
    problem = assert_problem(await service.client.get(path), 422, "invalid_request")
    assert pointers(problem) == [pointer]
    assert "2 times" in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"model": "tiny", "seed": 1, "seed": 2}', "/seed"),
        (b'{"sampling": {"top": {"top_k": 1, "top_k": 1}}}', "/top_k"),
        (b'{"\\u0073eed": 1, "seed": 2}', "/seed"),
    ],
)
async def test_a_name_given_twice_in_an_object_is_refused(
    service: Service, body: bytes, pointer: str
):
    response = await service.client.post("/jobs", content=body, headers=JSON)
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem) == [pointer]
    assert "twice" in problem["errors"][0]["detail"]


OPTIONAL = sorted(
    (AncestralBody.model_fields.keys() | JobRequest.model_fields.keys())
    - {"model", "artist", "genre", "duration_seconds"}
)


async def test_null_is_the_same_as_leaving_a_field_out(service: Service):
    left_out = await service.post(lyrics=None)
    for name in OPTIONAL:
        response = await service.client.post("/jobs", json=song(lyrics=None) | {name: None})
        assert response.status_code == 202, f"{name}: {response.text}"
        drawn = {"seed": response.json()["seed"]} if name == "seed" else {}
        assert response.json()["input"] == left_out["input"] | drawn, name
    nested = {"top": {"temperature": None, "top_k": None, "top_p": None, "hop_fraction": None}}
    for sampling in (nested, {"top": None, "middle": None, "bottom": None}):
        job = await service.post(lyrics=None, sampling=sampling)
        assert job["input"] == left_out["input"]
    for name in ("model", "artist", "genre", "duration_seconds"):
        response = await service.client.post("/jobs", json=song() | {name: None})
        problem = assert_problem(response, 422, "invalid_request")
        assert problem["errors"] == [
            {"in": "body", "pointer": f"/{name}", "detail": "this field is required"}
        ]
    response = await service.client.post("/jobs", json=song() | {"tempo": None})
    assert pointers(assert_problem(response, 422, "invalid_request")) == ["/tempo"]


async def test_null_is_the_same_as_leaving_a_field_of_a_prompt_out(service: Service):
    asset = "asset_" + "0" * 32
    prompt = {"asset_id": asset, "start_seconds": None, "seconds": None}
    response = await service.client.post("/jobs", json=song(mode="primed", prompt=prompt))
    problem = assert_problem(response, 422, "invalid_request")
    assert pointers(problem) == ["/prompt/asset_id"], "only the asset is missing"


PYTHON = re.compile(
    r"\b(tuple|dict|dictionary|None|int|str|float|bool|instance|set_int\w*|_\w+\(\))\b|[A-Z]\w+Body"
    r"|constrained|Request\b|Sampling\b"
)
ALL_KINDS = [None, True, 1.5, 10**30, -1, "", "x", [], {}, [[]], [{}], {"top": 1}, ["x"] * 50]


async def test_no_message_speaks_of_python(service: Service):
    bodies: list[Any] = [
        *ALL_KINDS,
        *(
            song() | {name: value}
            for name in sorted(AncestralBody.model_fields)
            for value in ALL_KINDS
        ),
        *(song() | {"mode": "primed", "prompt": value} for value in ALL_KINDS),
        *(song() | {"mode": "primed", "prompt": {"asset_id": value}} for value in ALL_KINDS),
        *(
            {"mode": mode, name: value}
            for mode in ("continue", "upsample")
            for name in ("prompt", "parent_id", "sample", "cut_seconds", "model")
            for value in ALL_KINDS
        ),
        *(
            {"mode": "redo", "parent_id": NOBODYS_JOB, "start_seconds": 0, name: value}
            for name in ("start_seconds", "end_seconds", "lyrics", "channels", "stereo_genres")
            for value in ALL_KINDS
        ),
        *({"mode": "splice", name: v} for name in ("parts", "mend_seconds") for v in ALL_KINDS),
        *(
            {"mode": "splice", "parts": [{"source": NOBODYS_JOB, name: value}]}
            for name in sorted(SplicePart.model_fields)
            for value in ALL_KINDS
        ),
        *(song() | {"sampling": {"top": value}} for value in ALL_KINDS),
        *(song() | {"sampling": {"top": {"top_k": value}}} for value in ALL_KINDS),
    ]
    for body in bodies:
        response = await service.client.post("/jobs", content=json.dumps(body), headers=JSON)
        assert response.status_code in (202, 422), response.text
        for error in response.json().get("errors", ()):
            assert not PYTHON.search(error["detail"]), error
            assert not PYTHON.search(error["pointer"]), error
    job = await service.post()
    for name in (*AnnotationChanges.model_fields, "artist", "mode"):
        for value in ({str(n): "" for n in range(17)}, *ALL_KINDS):
            response = await service.client.patch(f"/jobs/{job['id']}", json={name: value})
            assert response.status_code in (200, 422), response.text
            for error in response.json().get("errors", ()):
                assert not PYTHON.search(error["detail"]), error
                assert "mode" not in error["detail"], "nobody chose one"
    huge = await service.client.post("/jobs", content=b"9" * 5000, headers=JSON)
    assert not PYTHON.search(assert_problem(huge, 400, "malformed_json")["detail"])


@pytest.mark.parametrize("seed", [-1, 2**53, 1.5, "7", True, [7]])
async def test_a_seed_that_is_none_is_told_what_seeds_are(service: Service, seed: Any):
    response = await service.client.post("/jobs", json=song(seed=seed))
    (error,) = assert_problem(response, 422, "invalid_request")["errors"]
    assert "from 0 to 9007199254740991" in error["detail"]
    assert "omit it" in error["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/jobs/job_1", None),
        ("GET", "/assets/asset_1", None),
        ("GET", "/jobs?root=job_1", None),
        ("POST", "/jobs", song() | {"model": "My Model"}),
        ("POST", "/jobs", song() | {"webhook_url": "ftp://example.org"}),
        ("POST", "/jobs", {"mode": "continue", "parent_id": "job_1", "duration_seconds": 1}),
        ("POST", "/jobs", song() | {"mode": "primed", "prompt": {"asset_id": "asset_1"}}),
    ],
)
async def test_no_message_shows_a_regular_expression(service: Service, method, path, body):
    response = await service.client.request(method, path, json=body)
    assert response.status_code in (404, 422)
    assert not re.search(r"[\^$\\]|pattern", response.text), response.text
