"""DKIM signatures (RFC 6376; Ed25519: RFC 8463) over a stored message, header and body canonicalised ``relaxed``.

What is signed, and why. Every header of `SIGNED` that is there. Those of `SEALED` are named once more than they are
there ("oversigned", section 8.15), so that one that is added on the way breaks the signature: they are what readers
show or answer to, and what decides how the body is shown. MIME-Version and Content-Transfer-Encoding are signed but
not sealed, since honest relays add them. Received, Return-Path and the like change on the way and are left out. The
whole body is signed: no ``l=``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

SEALED = (b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"content-type")
SIGNED = (
    *SEALED,
    *(b"sender", b"mime-version", b"content-transfer-encoding", b"in-reply-to", b"references"),
    *(b"content-id", b"content-description", b"content-disposition", b"content-language"),
    *(b"resent-date", b"resent-from", b"resent-sender", b"resent-to", b"resent-cc", b"resent-message-id"),
    *(b"list-id", b"list-help", b"list-unsubscribe", b"list-unsubscribe-post"),
    *(b"list-subscribe", b"list-post", b"list-owner", b"list-archive"),
)

_LINE_END = re.compile(rb"\r\n(?![ \t])")
_BLANKS = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and where its public half is published: ``SELECTOR._domainkey.DOMAIN``."""

    domain: str
    selector: str
    key: PrivateKey


def signatures(source: bytes, signers: Sequence[Signer], at: datetime) -> bytes:
    """A ``DKIM-Signature`` for each of *signers*, to stand before *source* (CRLF line ends only).

    The same message, keys and instant give the same octets again: neither algorithm has a random part.
    """
    if not signers:
        return b""
    head, _, body = source.partition(b"\r\n\r\n")
    names, text = _headers(head.removesuffix(b"\r\n"))
    body_hash = b64encode(sha256(relaxed_body(body)).digest()).decode()
    return b"".join(_signature(signer, names, text, body_hash, at) for signer in signers)


def relaxed_header(field: bytes) -> bytes:
    """One field without its final CRLF, canonicalised (section 3.4.2)."""
    name, _, value = field.partition(b":")
    value = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value


def relaxed_body(body: bytes) -> bytes:
    """A body canonicalised (section 3.4.4). Plain replacing beats a pattern by far, and halves a run each time."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n").removesuffix(b" ").rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def public_value(key: PrivateKey) -> str:
    """What stands after ``p=`` in the record: for RSA the SubjectPublicKeyInfo, for Ed25519 the bare 32 octets."""
    if isinstance(key, RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(octets).decode()


def _headers(head: bytes) -> tuple[list[bytes], bytes]:
    """The names for ``h=``, and the canonical fields in that order: of several, the last stands first (5.4.2)."""
    fields: dict[bytes, list[bytes]] = defaultdict(list)
    for raw in _LINE_END.split(head):
        field = relaxed_header(raw)
        fields[field.partition(b":")[0]].append(field)
    names: list[bytes] = []
    chosen: list[bytes] = []
    for name in SIGNED:
        found = fields.get(name, [])
        chosen += reversed(found)
        names += [name] * (len(found) + (name in SEALED))
    return names, b"".join(field + b"\r\n" for field in chosen)


def _signature(signer: Signer, names: Sequence[bytes], text: bytes, body_hash: str, at: datetime) -> bytes:
    rsa = isinstance(signer.key, RSAPrivateKey)
    tags = [
        f"v=1; a={'rsa' if rsa else 'ed25519'}-sha256; c=relaxed/relaxed; d={signer.domain};",
        f"s={signer.selector}; t={int(at.timestamp())};",
        *_folded("h=" + b":".join(names).decode() + ";", after=":"),
        f"bh={body_hash};",
        "b=",
    ]
    header = "DKIM-Signature: " + "\r\n\t".join(tags)
    octets = _sign(signer.key, text + relaxed_header(header.encode()))
    value = b64encode(octets).decode()
    lines = [value[i : i + 72] for i in range(0, len(value), 72)]
    return (header + "\r\n\t".join(lines) + "\r\n").encode()


def _sign(key: PrivateKey, text: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(text, PKCS1v15(), SHA256())
    return key.sign(sha256(text).digest())  # RFC 8463 section 3: the hash is what Ed25519 signs


def _folded(text: str, *, after: str) -> list[str]:
    """Break *text* into lines of at most 76 characters, behind *after*."""
    lines = [""]
    for part in re.findall(f"[^{after}]*{after}|[^{after}]+", text):
        if len(lines[-1]) + len(part) > 76:
            lines.append("")
        lines[-1] += part
    return lines
