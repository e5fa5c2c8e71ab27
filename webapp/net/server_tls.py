"""The server's end of TLS: a certificate and its key, judged before they are used."""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(Exception):
    """The certificate or its key can't be used; the text is the one line to show."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context that serves *cert* with *key*, both PEM. Raise `CertificateError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        # An encrypted key would make OpenSSL ask on the terminal; the answer "" fails instead.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        files = f"POSTLATCH_TLS_CERT ({cert}) with POSTLATCH_TLS_KEY ({key})"
        raise CertificateError(f"{files}: {_problem(error)}") from None
    return context


def _problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not the certificate's"
        return "not a PEM certificate with an unencrypted PEM key"
    if isinstance(error, OSError):
        return error.strerror or "can't be read"
    return "can't be read"
