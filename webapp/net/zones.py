"""Where a domain's DNS is managed, and other look-ups that a check of its records needs."""

from __future__ import annotations

import dns.exception
import dns.resolver

from webapp.net.resolver import LookupFailed, resolver, txt
from webapp.settings import Bind

#: How the name servers of common DNS hosts end, and the host's name.
_HOSTS = {
    ".ns.cloudflare.com": "cloudflare",
    ".domaincontrol.com": "godaddy",
    ".ui-dns.com": "ionos",
    ".ui-dns.de": "ionos",
    ".ui-dns.org": "ionos",
    ".ui-dns.biz": "ionos",
    ".ovh.net": "ovh",
    ".anycast.me": "ovh",
    ".hetzner.com": "hetzner",
    ".hetzner.de": "hetzner",
    ".first-ns.de": "hetzner",
    ".second-ns.de": "hetzner",
    ".second-ns.com": "hetzner",
    ".your-server.de": "hetzner",
}


def records(name: str, type_: str, server: Bind | None) -> list[str]:
    """The records of *name* as texts: TXT joined, MX and NS as host names; empty when there are none.

    Raise `LookupFailed`.
    """
    if type_ == "TXT":
        return txt(name, server)
    try:
        answer = resolver(server).resolve(name, type_, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{name}: {error}") from None
    return [record.to_text().split()[-1].rstrip(".").lower() for record in answer]


def zone_of(name: str, server: Bind | None) -> tuple[str, str]:
    """The zone that *name* is in, and the known DNS host that serves it, or two empty strings."""
    labels = name.split(".")
    for cut in range(len(labels) - 1):
        zone = ".".join(labels[cut:])
        try:
            servers = records(zone, "NS", server)
        except LookupFailed:
            break
        if servers:
            return zone, dns_host(servers)
    return "", ""


def dns_host(servers: list[str]) -> str:
    """The known DNS host whose name *servers* these are, else an empty string."""
    for server in servers:
        if ".awsdns-" in server:
            return "route53"
        for ending, host in _HOSTS.items():
            if server.endswith(ending):
                return host
    return ""
