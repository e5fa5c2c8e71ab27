"""What a server's certificate is worth, where that decides nothing: told beside the attempt (RFC 7435).

The handshake went on without checking, so the chain is checked afterwards. OpenSSL can't do that from Python, and
asking first with a check would cost every server with a certificate of its own making a second connection.
"""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpx
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError


def verdict(tls: Any, name: str) -> str:
    """``verified``, or ``not trusted`` with the reason, for the connection *tls* to the host *name*."""
    try:
        chain = [x509.load_der_x509_certificate(der) for der in _chain(tls)]
        if not chain:
            return "not sent"
        try:
            verifier = PolicyBuilder().store(_roots()).build_server_verifier(_subject(name))
            verifier.verify(chain[0], chain[1:])
        except VerificationError:
            return f"not trusted ({_why(chain[0], name)})"
    except ValueError:
        return "not trusted (can't be read)"
    return "verified"


def _why(leaf: x509.Certificate, name: str) -> str:
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return "expired" if now > leaf.not_valid_after_utc else "not valid yet"
    if leaf.issuer == leaf.subject:
        return "self-signed"
    if not _names(leaf, name.lower()):
        return "for another name"
    return "unknown issuer"


def _names(leaf: x509.Certificate, name: str) -> bool:
    """Whether *leaf* is for *name*, at most by one wildcard label (RFC 6125 section 6.4.3)."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    named = {found.lower() for found in extension.value.get_values_for_type(x509.DNSName)}
    return name in named or f"*.{name.partition('.')[2]}" in named


def _chain(tls: Any) -> list[bytes]:
    """What the server sent, leaf first, as DER."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return list(tls.get_unverified_chain())
    inner: Any = getattr(tls, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):
        return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inner.get_unverified_chain() or ()]
    leaf = tls.getpeercert(binary_form=True)
    return [leaf] if leaf else []


def _subject(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@cache
def _roots() -> Store:
    """The certificate authorities that webhooks trust, too."""
    roots = httpx.create_ssl_context().get_ca_certs(binary_form=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # some roots are older than today's rules
        return Store([x509.load_der_x509_certificate(root) for root in roots])
