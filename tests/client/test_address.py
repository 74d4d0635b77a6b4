"""Proxies of the environment, and addresses that are none."""

import re

import pytest

from cli.local.stack import free_port
from cli.service.sentences import sentence_of
from jukebox_client import InvalidAddress, ServiceUnreachable
from jukebox_client.address import is_loopback
from tests.fixtures.scripted_service import job, json_answer

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_service_elsewhere_is_called_through_the_proxy(service, monkeypatch, make_client):
    monkeypatch.setenv("HTTP_PROXY", service.url)
    service.on("GET", "http://studio.example/jobs/job_1", json_answer(job()))
    with make_client("http://studio.example") as client:
        assert client.get_job("job_1").id == "job_1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_loopback_is_called_without_the_proxy(service, monkeypatch, host, make_client):
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    service.on("GET", "/jobs/job_1", json_answer(job()))
    with make_client(service.url.replace("127.0.0.1", host)) as client:
        assert client.get_job("job_1").id == "job_1"


def test_a_host_of_no_proxy_is_called_without_the_proxy(monkeypatch, make_client):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "studio.invalid")
    with (
        make_client("http://studio.invalid") as client,
        pytest.raises(ServiceUnreachable) as caught,
    ):
        client.get_job("job_1")
    assert not caught.value.was_sent
    sentence = sentence_of(caught.value)
    assert re.search(r"Check --url.*NO_PROXY", sentence)
    assert "jukebox serve" not in sentence


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True)),
        *(("localhost", True), ("LOCALHOST.", True), ("api.localhost", True), ("0.0.0.0", True)),
        *(("10.0.0.1", False), ("localhost.example", False), ("2001:db8::1", False)),
    ],
)
def test_the_loopback_is_known_however_it_is_written(host, is_local):
    assert is_loopback(host) is is_local


@pytest.mark.parametrize("proxy", ["ftp://proxy:1", "socks9://proxy:1"])
def test_a_proxy_that_cannot_be_used_is_one_sentence(monkeypatch, proxy, make_client):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InvalidAddress, match="proxy"):
        make_client("http://studio.example")


@pytest.mark.parametrize(
    "url", ["studio.example", "ftp://studio.example", "http://", "http://host:port", ""]
)
def test_an_address_that_is_no_url_is_one_sentence(url, make_client):
    with pytest.raises(InvalidAddress) as caught:
        make_client(url)
    assert "--url" in sentence_of(caught.value)
