"""Where webhooks may go; a URL is a stranger's wish to have our machine connect to something."""

import pytest

from jobs.errors import WebhookUrlRefused
from jobs.webhooks.urls import check_addresses, parse_target, read_hosts


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://studio.example/hooks", "studio.example", 443, "/hooks"),
        ("https://studio.example", "studio.example", 443, "/"),
        ("https://Studio.Example.:8443/a?b=c", "studio.example", 8443, "/a?b=c"),
        ("https://studio.example?b=c", "studio.example", 443, "/?b=c"),
        ("https://93.184.215.14/x", "93.184.215.14", 443, "/x"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x", None, 443, "/x"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
    ],
)
def test_what_lies_in_the_public_internet_is_taken(url, host, port, path):
    target = parse_target(url)
    assert (target.port, target.path) == (port, path)
    assert host is None or target.host == host


@pytest.mark.parametrize(
    "url",
    [
        "http://studio.example/",
        "ftp://studio.example/",
        "https:///hooks",
        "https://",
        "https://user:word@studio.example/",
        "https://studio.example@127.0.0.1/",
        "https://studio.example/#part",
        "https://studio.example:0/",
        "https://studio.example:99999/",
        "https://studio.example:x/",
        "https://[::1/",
        "https://stu dio.example/",
        "https://studio.example/\r\nHost: other",
        "https://studio.example/\tx",
        "https://b\u00fccher.example/",
        "https://studio%2eexample/",
        "https://studio\\.example/",
        "https://-studio.example/",
        f"https://{'a' * 250}.example/",
    ],
)
def test_what_is_no_https_url_of_a_host_is_refused(url):
    with pytest.raises(WebhookUrlRefused):
        parse_target(url)


PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
]
WRAPPED = [
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]


@pytest.mark.parametrize("address", PRIVATE + WRAPPED)
def test_no_address_inside_is_taken_however_it_is_wrapped(address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(WebhookUrlRefused, match="not of the public internet"):
        parse_target(f"https://{host}/")


@pytest.mark.parametrize("address", PRIVATE + WRAPPED)
def test_no_name_that_leads_inside_is_connected_to_not_even_when_it_also_leads_outside(address):
    target = parse_target("https://studio.example/")
    check_addresses(target, ["93.184.215.14"])
    for addresses in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
        with pytest.raises(WebhookUrlRefused):
            check_addresses(target, addresses)


def test_a_name_without_an_address_is_refused():
    with pytest.raises(WebhookUrlRefused, match="no address"):
        check_addresses(parse_target("https://studio.example/"), [])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "x.localhost",
        "redis",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0x7f.1",
        "1.2.3.0x4",
    ],
)
def test_names_of_this_machine_and_odd_spellings_of_addresses_are_refused(host):
    with pytest.raises(WebhookUrlRefused):
        parse_target(f"https://{host}/")


def test_hosts_that_the_operator_named_may_be_private_and_use_plain_http():
    hosts = read_hosts("Hooks.Internal, 10.0.0.7:8080 [::1]:9000,receiver")
    allowed = parse_target("http://hooks.internal:1234/", hosts)
    check_addresses(allowed, ["10.1.2.3", "127.0.0.1", "::1"])
    for url in ("http://10.0.0.7:8080/", "http://[::1]:9000/", "http://receiver/"):
        assert parse_target(url, hosts).is_allowed
    for url in ("http://10.0.0.7:8081/", "http://10.0.0.7/", "http://[::1]:9001/"):
        with pytest.raises(WebhookUrlRefused):
            parse_target(url, hosts)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:10.0.0.1", "0.0.0.0"])
def test_even_a_named_host_leads_to_no_link_local_address(address):
    target = parse_target("http://receiver/", ["receiver"])
    with pytest.raises(WebhookUrlRefused):
        check_addresses(target, [address])


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://studio.example/", "studio.example"),
        ("https://studio.example:443/", "studio.example"),
        ("https://studio.example:8443/", "studio.example:8443"),
        ("https://[2606:2800::1]:8443/", "[2606:2800::1]:8443"),
    ],
)
def test_the_host_header_is_the_url_s(url, authority):
    assert parse_target(url).authority == authority
