"""The target guard: which machines Postlatch may be made to call, by a webhook's or an attachment's URL.

A name is resolved once, its addresses are judged, and the connection goes to the very address that was judged: an
answer that changes in between (DNS rebinding) changes nothing. TLS still verifies the name, and Host still says it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from ssl import SSLContext

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import httpx

from webapp.core.rules.networks import Address, normalise_ip
from webapp.net.resolver import LIFETIME, LookupFailed
from webapp.settings import Bind, Settings

#: One address gets so long to accept the connection before the next is tried, in seconds.
CONNECT_SECONDS = 4.0

_HOSTS = Path("/etc/hosts")
_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: a network without IPv4 reaches it through these
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Not for calling, though `ipaddress` of some Python calls them global.
_NEVER = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("168.63.129.16/32"),  # Azure's metadata, on a public address
    IPv4Network("192.0.0.0/24"),  # holds Oracle's metadata
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    IPv6Network("2001::/23"),  # Teredo, ORCHID and other protocols' own
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise
    IPv6Network("3fff::/20"),
)
#: What may also be called where the operator allows private targets. Link-local is not among them.
_PRIVATE = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
#: Clouds' metadata in private ranges.
_METADATA = tuple(ip_address(text) for text in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254"))


class TargetRefused(Exception):  # noqa: N818 - a finding
    """The target may not be called. The text is a sentence to show to whoever typed its address."""


def is_public(address: Address | str) -> bool:
    """Whether *address* belongs to the public internet: no private, shared, loopback, link-local, multicast, reserved
    or unspecified one, no cloud's metadata, and none of these inside an IPv6 address. Raise `ValueError`."""
    real = _embedded(address)
    if real.is_multicast or not real.is_global or any(real in network for network in _NEVER):
        return False
    return real.version == 4 or real in _GLOBAL_UNICAST


def may_call(address: Address | str, *, allow_private: bool) -> bool:
    """Whether *address* may be connected to: a public one, or a private one where *allow_private*, metadata never."""
    if is_public(address):
        return True
    real = _embedded(address)
    return allow_private and real not in _METADATA and any(real in network for network in _PRIVATE)


@dataclass(frozen=True, slots=True)
class TargetGuard:
    """Which URLs may be called, and how names become addresses: by the resolver *dns*, or the system's."""

    allow_private: bool = False
    dns: Bind | None = None

    @classmethod
    def of(cls, settings: Settings) -> TargetGuard:
        """The guard that the operator's settings ask for."""
        return cls(settings.allow_private_webhooks, settings.dns)

    def check_url(self, text: str) -> httpx.URL:
        """Read a URL as a person pastes it. Raise `TargetRefused` with what to do instead; no name is looked up."""
        try:
            url = httpx.URL(text.strip())
        except httpx.InvalidURL:
            raise TargetRefused("That is no web address: it starts with https:// and holds no blanks.") from None
        if url.scheme != "https" and not (self.allow_private and url.scheme == "http"):
            raise TargetRefused("The address must start with https://.")
        if not url.host or url.userinfo:
            raise TargetRefused("The address needs a host name, and no user name or password in it.")
        address = _literal(url.raw_host.decode("ascii"))
        if address is not None:
            self.check_address(address)
        elif not self.allow_private and _is_local_name(url.raw_host.decode("ascii")):
            raise TargetRefused(_NOT_PUBLIC.format(host=url.host))
        return url

    def check_address(self, address: Address) -> None:
        """Raise `TargetRefused` unless *address* may be called."""
        if not may_call(address, allow_private=self.allow_private):
            raise TargetRefused(_NOT_PUBLIC.format(host=address))

    async def addresses(self, host: str) -> list[Address]:
        """The addresses of *host* that may be called, IPv4 first.

        Raise `LookupFailed`, or `TargetRefused` when the name has none, or any that may not be called: a name that
        is half public is an attack or a mistake.
        """
        literal = _literal(host)
        found = [literal] if literal is not None else await resolve(host, self.dns)
        if not found:
            raise TargetRefused(f"There is no host named {host}.")
        for address in found:
            if not may_call(address, allow_private=self.allow_private):
                raise TargetRefused(_NOT_PUBLIC.format(host=f"{host} ({address})" if host != str(address) else host))
        return sorted(found, key=lambda address: address.version)

    def transport(self, *, verify: SSLContext | bool = True) -> PinnedTransport:
        """What an `httpx.AsyncClient` needs to call only what may be called."""
        return PinnedTransport(self, verify=verify)


_NOT_PUBLIC = "{host} is not on the public internet. Postlatch only calls addresses that are."


class PinnedTransport(httpx.AsyncBaseTransport):
    """Looks the request's host up, judges its addresses and connects to those; redirects come back like any request.

    Raises `TargetRefused` for a target that may not be called, `httpx.ConnectError` for a name that can't be looked
    up, and what httpx raises. Connections are not kept: the next one to the same address may be for another name.
    """

    def __init__(self, guard: TargetGuard, *, verify: SSLContext | bool = True) -> None:
        self._guard = guard
        self._inner = httpx.AsyncHTTPTransport(
            verify=verify, trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* to the first address of its host that accepts a connection."""
        self._guard.check_url(str(request.url))
        host = request.url.raw_host.decode("ascii")
        try:
            addresses = await self._guard.addresses(host)
        except LookupFailed as error:
            raise httpx.ConnectError(f"The DNS does not answer for {host}.", request=request) from error
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, host, addresses[-1]))

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def trusted_context() -> SSLContext:
    """TLS that trusts the usual authorities (certifi's) and the machine's own. Slow: make it once."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


async def resolve(host: str, server: Bind | None) -> list[Address]:
    """The addresses of *host*: from the hosts file, else from the DNS at *server* or the system's; empty for none.

    Without threads, so that a resolver which doesn't answer holds up nobody else. Raise `LookupFailed`.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return list(_LOOPBACK)
    listed = _from_hosts_file(name)
    if listed:
        return listed
    answers = await asyncio.gather(
        *(_query(name, rdtype, server) for rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)), return_exceptions=True
    )
    found = [address for answer in answers if not isinstance(answer, BaseException) for address in answer]
    for answer in answers:
        if isinstance(answer, BaseException) and not (found and isinstance(answer, LookupFailed)):
            raise answer
    return found


async def _query(name: str, rdtype: dns.rdatatype.RdataType, server: Bind | None) -> list[Address]:
    try:
        resolver = dns.asyncresolver.Resolver(configure=server is None)
        if server is not None:
            resolver.nameservers, resolver.port = [server.host], server.port
        answer = await resolver.resolve(name, rdtype, lifetime=LIFETIME, search=server is None)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{name}: {error}") from None
    return [ip_address(record.address) for record in answer]


def _from_hosts_file(name: str) -> list[Address]:
    try:
        lines = _HOSTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    entries = [line.partition("#")[0].lower().split() for line in lines]
    found = [_literal(entry[0]) for entry in entries if name in entry[1:]]
    return [address for address in found if address is not None]


def _pinned(request: httpx.Request, host: str, address: Address) -> httpx.Request:
    """*request* to *address* instead of *host*, which SNI, the certificate's check and Host still name."""
    timeout = dict(request.extensions.get("timeout", {}))
    timeout["connect"] = min(timeout.get("connect") or CONNECT_SECONDS, CONNECT_SECONDS)
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host, "timeout": timeout},
    )


def _embedded(address: Address | str) -> Address:
    """*address*, or the IPv4 address inside a mapped or NAT64 one."""
    real = normalise_ip(str(address))
    return IPv4Address(real.packed[-4:]) if isinstance(real, IPv6Address) and real in _NAT64 else real


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_local_name(host: str) -> bool:
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith((".localhost", ".local", ".internal"))
