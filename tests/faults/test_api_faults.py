"""API processes that die at the worst moment, and clients that walk away."""

import os
import socket
import time

import httpx
import pytest

from tests.faults.promises import assert_promises
from tests.faults.test_redis_faults import RESEND_SEC, SLACK_SEC, accepted, song

pytestmark = [pytest.mark.faults, pytest.mark.redis]


def test_an_api_killed_between_the_record_and_the_message(world, undisturbed):
    dying = world.api({"kind": "die_before_sending"}).wait_ready()
    world.worker()
    with pytest.raises(httpx.TransportError):
        dying.http.post("/jobs", json=song())
    [job] = world.store.list_jobs().jobs
    assert_promises(world, undisturbed, [job.id], lost_at_most_sec=RESEND_SEC + SLACK_SEC)
    again = world.api().wait_ready()
    assert again.http.get(f"/jobs/{job.id}").json()["status"] == "succeeded"


def test_two_apis_are_one_service(world, undisturbed):
    one, two = world.api(), world.api()
    world.worker()
    one.wait_ready()
    two.wait_ready()
    jobs = [accepted(one, seed=7), accepted(two, seed=8)]
    one.kill()
    lines = {}
    for job_id in jobs:
        with two.http.stream("GET", f"/jobs/{job_id}/events", timeout=60) as stream:
            lines[job_id] = [line for line in stream.iter_lines() if line.startswith("data:")]
    assert all('"status":"succeeded"' in told[-1].replace(" ", "") for told in lines.values())
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=SLACK_SEC)
    for job_id in jobs:
        assert two.http.get(f"/jobs/{job_id}/audio").status_code == 200


def walk_away(api, request, *, after_bytes):
    """Ask, read a little, and break the connection off."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request)
        if after_bytes:
            client.recv(after_bytes)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def num_open(api):
    return len(os.listdir(f"/proc/{api.pid}/fd"))


def test_clients_that_walk_away_leave_nothing_open(world, undisturbed):
    api = world.api()
    world.worker()
    api.wait_ready()
    done = accepted(api)
    world.wait_end(done, timeout_sec=60)
    job_id = accepted(api, seed=8)
    host = b" HTTP/1.1\r\nHost: here\r\n"
    get = [f"GET /jobs/{done}/audio", f"GET /jobs/{job_id}/events", f"GET /jobs/{job_id}?wait=1"]
    upload = (
        b"POST /jobs" + host + b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    )
    asset = b"POST /assets" + host + b"Content-Type: multipart/form-data; boundary=x\r\n"
    asset += b'Content-Length: 9000000\r\n\r\n--x\r\nContent-Disposition: form-data; name="file"; '
    asset += b'filename="a.wav"\r\n\r\n' + bytes(100_000)
    requests = [(upload, 0), (asset, 0)]
    for path in get:
        num_read = 0 if "wait" in path else 100
        requests.append((path.encode() + host + b"\r\n", num_read))

    def all_walk_away():
        for _ in range(12):
            for request, num_read in requests:
                walk_away(api, request, after_bytes=num_read)

    all_walk_away()
    time.sleep(2)
    # Pools of connections keep what they opened; more than a few of them would be a leak.
    before = num_open(api) + 6
    all_walk_away()
    assert_promises(world, undisturbed, [done, job_id], lost_at_most_sec=SLACK_SEC)
    deadline = time.monotonic() + 20
    while num_open(api) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert num_open(api) <= before
    assets = world.data_dir / "assets"
    assert not [path for path in assets.rglob("*") if path.is_file()]
    whole = api.http.get(f"/jobs/{job_id}/audio").content
    assert len(whole) == world.store.get(job_id).outputs[-1].num_bytes
