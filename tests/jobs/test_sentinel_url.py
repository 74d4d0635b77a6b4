import pytest

from jobs.queue import broker_url, celery_app
from jobs.settings import check_redis_url
from jobs.store.sentinel_url import SentinelUrl


def test_a_url_names_sentinels_password_database_and_service():
    url = SentinelUrl.parse(
        "sentinel://me:a%20%40@one:26380,two,[::1]:7/2?service=music&replicas=0"
        "&sentinel_password=other"
    )
    assert url.sentinels == (("one", 26380), ("two", 26379), ("::1", 7))
    assert (url.username, url.password, url.sentinel_password) == ("me", "a @", "other")
    assert (url.database, url.service, url.replicas) == (2, "music", 0)
    assert url.tls_options == {}
    assert "a @" not in repr(url)
    assert "other" not in repr(url)


def test_a_write_waits_for_one_replica_unless_the_url_says_otherwise():
    assert SentinelUrl.parse("sentinel://one?service=music").replicas == 1


def test_sentinels_with_tls_trust_the_authority_that_is_named():
    url = "sentinels://one/0?service=music&ssl_ca_certs=/etc/ca.pem"
    options = SentinelUrl.parse(url).tls_options
    assert options == {"ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": "/etc/ca.pem"}
    assert celery_app(url).conf.broker_use_ssl["ssl_ca_certs"] == "/etc/ca.pem"


def test_celery_gets_every_sentinel_and_the_service():
    url = "sentinel://:secret@one,two:7/3?service=music"
    assert broker_url(url) == "sentinel://:secret@one:26379/3;sentinel://:secret@two:7/3"
    app = celery_app(url)
    assert app.conf.broker_transport_options["master_name"] == "music"
    assert app.conf.broker_use_ssl is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://one", "needs \\?service=NAME"),
        ("sentinel:///0?service=music", "names no sentinel"),
        ("sentinel://one:port/0?service=music", "as its port"),
        ("sentinel://one/zero?service=music", "as its database"),
        ("sentinel://one/0?service=music&replicas=some", "as its replicas"),
        ("sentinel://one/0?service=music&master=music", "master, which is none of"),
    ],
)
def test_a_wrong_url_is_refused_with_what_is_wrong(url, words):
    with pytest.raises(ValueError, match=words):
        check_redis_url(url)
