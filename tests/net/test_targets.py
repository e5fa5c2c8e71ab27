"""The target guard: which addresses may be called, and that the connection goes to the very address that was judged."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.dns_server import DnsServer
from tests.support.hook_receiver import HookReceiver
from webapp.certificate import ensure_certificate
from webapp.net.targets import TargetGuard, TargetRefused, is_public, may_call
from webapp.settings import Bind, Settings

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = ["10.0.0.1", "127.0.0.1", "127.8.8.8", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fc00::1",
           "::ffff:10.0.0.1", "64:ff9b::a00:1"]  # fmt: skip
NEVER = ["0.0.0.0", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192",
         "192.88.99.1", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%lo", "ff02::1", "::",
         "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:808:808::1", "2001:0:808:808::1",
         "2001:db8::1", "3fff::1", "fec0::1", "::808:808", "198.18.0.1", "203.0.113.5"]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert is_public(address)
    assert may_call(address, allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_only_where_the_operator_allows_them(address: str) -> None:
    assert not is_public(address)
    assert not may_call(address, allow_private=False)
    assert may_call(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_what_is_no_host_are_never_called(address: str) -> None:
    assert not is_public(address)
    assert not may_call(address, allow_private=True)


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "https://user:pw@example.org/", "https:///x", "ftp://example.org/", "example.org", "",
     "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest/",
     "https://localhost/", "https://LOCALHOST./", "https://intranet/", "https://x.localhost/", "https://a b/"],
)  # fmt: skip
def test_addresses_that_a_person_pastes_in_vain(url: str) -> None:
    with pytest.raises(TargetRefused, match=r"\.$"):
        TargetGuard().check_url(url)


def test_what_the_switch_for_development_allows() -> None:
    guard = TargetGuard(allow_private=True)

    for url in ("http://127.0.0.1:9/x", "http://localhost:9/", "https://[::1]/", "http://intranet/"):
        assert guard.check_url(url)
    with pytest.raises(TargetRefused):
        guard.check_url("http://169.254.169.254/")


def test_localhost_needs_no_dns() -> None:
    found = asyncio.run(TargetGuard(allow_private=True).addresses("localhost"))

    assert [str(address) for address in found] == ["127.0.0.1", "::1"]


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


def post(url: str, guard: TargetGuard, **values: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=guard.transport(**values), timeout=10) as client:
            return await client.post(url, content=b"{}")

    return asyncio.run(go())


def test_the_connection_goes_to_the_judged_address_and_tls_names_the_host(tmp_path: Path, dns: DnsServer) -> None:
    ensure_certificate(settings := Settings(_env_file=None, data_dir=tmp_path, hostname="hooks.example.org"))
    cert, key = settings.tls_files
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    dns.records["hooks.example.org", "A"] = ["127.0.0.1"]
    dns.records["other.example.org", "A"] = ["127.0.0.1"]
    guard = TargetGuard(allow_private=True, dns=Bind("127.0.0.1", dns.port))
    trust = ssl.create_default_context(cafile=str(cert))

    with HookReceiver(tls=server) as receiver:
        url = f"https://hooks.example.org:{receiver.port}/x"
        assert post(url, guard, verify=trust).status_code == 200
        assert receiver.received[0].headers["Host"] == f"hooks.example.org:{receiver.port}"
        assert dns.asked["hooks.example.org", "A"] == 1
        with pytest.raises(httpx.ConnectError, match="certificate"):
            post(f"https://other.example.org:{receiver.port}/x", guard, verify=trust)


def test_a_name_that_leads_inside_is_not_called(dns: DnsServer) -> None:
    guard = TargetGuard(dns=Bind("127.0.0.1", dns.port))
    dns.records["evil.example.org", "A"] = ["127.0.0.1"]
    dns.records["half.example.org", "A"] = ["8.8.8.8", "10.0.0.1"]
    dns.records["six.example.org", "AAAA"] = ["::ffff:10.0.0.1"]

    for host in ("evil", "half", "six", "nobody"):
        with pytest.raises(TargetRefused):
            post(f"https://{host}.example.org/", guard)


def test_the_next_address_is_tried_when_one_is_dead(dns: DnsServer) -> None:
    guard = TargetGuard(allow_private=True, dns=Bind("127.0.0.1", dns.port))
    dns.records["two.example.org", "A"] = ["127.0.0.2", "127.0.0.1"]

    with HookReceiver() as receiver:
        assert post(f"http://two.example.org:{receiver.port}/", guard).status_code == 200


def test_a_resolver_that_fails_is_no_verdict(dns: DnsServer) -> None:
    dns.failing.add("hooks.example.org")
    guard = TargetGuard(dns=Bind("127.0.0.1", dns.port))

    with pytest.raises(httpx.ConnectError, match="DNS does not answer"):
        post("https://hooks.example.org/", guard)
