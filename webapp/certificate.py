"""The self-signed certificate of a first start, until somebody brings a real one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webapp.settings import Settings

_LIFE = timedelta(days=397)  # longer ones are refused by some mail programs
_RENEWED_BEFORE = timedelta(days=30)
#: One that ends within so long is worth a word to the operator.
CERTIFICATE_SOON = timedelta(days=21)


def ensure_certificate(settings: Settings) -> None:
    """Make a certificate for localhost and the host's name, unless there is a good one or settings name another."""
    if settings.tls_cert:
        return
    cert_path, key_path = settings.tls_files
    if key_path.exists() and _is_good(cert_path, settings.hostname):
        return
    cert_path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        mode=0o600,
    )
    _write(cert_path, _self_signed(key, settings.hostname).public_bytes(serialization.Encoding.PEM), mode=0o644)


def _self_signed(key: ec.EllipticCurvePrivateKey, hostname: str) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    names = [x509.DNSName(host) for host in dict.fromkeys(("localhost", hostname.lower()))]
    addresses = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def read_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate in *path*, PEM; None when it can't be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _is_good(path: Path, hostname: str) -> bool:
    certificate = read_certificate(path)
    if certificate is None:
        return False
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    fresh = certificate.not_valid_after_utc - datetime.now(UTC) > _RENEWED_BEFORE
    return fresh and hostname.lower() in names.get_values_for_type(x509.DNSName)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    aside.replace(path)
