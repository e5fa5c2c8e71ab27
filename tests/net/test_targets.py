"""The target guard: which addresses may be called, and that the connection goes to the very address that was judged."""

from __future__ import annotations

import asyncio

import pytest

from webapp.net.targets import TargetGuard, TargetRefused, is_public, may_call

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
