"""A server that is reached by TLS, with a certificate of an authority that only we know."""

import shutil

import pytest
import redis

from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.queue import CeleryJobQueue
from jobs.record.job import Stage
from jobs.store import JobStore
from tests.fixtures.tls_proxy import TlsProxy, make_certificate

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate"),
]

JOB_ID = f"job_{'0' * 32}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder, name) for name in ("ours", "others")}


@pytest.fixture
def tls_port(clean_redis_url, certificates):
    socket = redis.connection.parse_url(clean_redis_url)["path"]
    with TlsProxy(socket, *certificates["ours"]) as proxy:
        yield proxy.port


def url_with(port, certificate):
    return f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"


def test_store_and_queue_trust_the_authority_that_the_url_names(tls_port, certificates):
    url = url_with(tls_port, certificates["ours"][0])
    store, queue = JobStore(url), CeleryJobQueue(url)
    store.ping()
    queue.publish(JOB_ID, Stage.TOP)
    assert queue.depth(Stage.TOP) == 1
    queue.close()
    store.close()


def test_neither_trusts_another_authority(tls_port, certificates):
    url = url_with(tls_port, certificates["others"][0])
    store, queue = JobStore(url), CeleryJobQueue(url)
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        store.ping()
    with pytest.raises(QueueUnavailable):
        queue.publish(JOB_ID, Stage.TOP)
    queue.close()
    store.close()
