"""The server's certificate, re-read when its files change."""

from __future__ import annotations

from pathlib import Path

import structlog

from webapp.net.server_tls import CertificateError, server_context

log = structlog.get_logger(__name__)

_Signature = tuple[tuple[int, int, int], ...]


class Certificate:
    """A TLS context for new connections; those that exist keep theirs."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raise `CertificateError`."""
        self._cert = cert
        self._key = key
        self._signature = self._sign()
        self._complained: _Signature | None = None
        self.context = server_context(self._cert, self._key)

    def reload(self) -> None:
        """Read the files again. If they can't be used, log it and keep what we have."""
        signature = self._sign()
        try:
            # A fresh context: loading a pair that doesn't match would spoil the one in use.
            self.context = server_context(self._cert, self._key)
        except CertificateError as error:
            if signature != self._complained:
                log.warning("certificate_unusable", problem=str(error))
            self._complained = signature
            return
        self._signature, self._complained = signature, None
        log.info("certificate_loaded", file=str(self._cert))

    def reload_if_changed(self) -> None:
        """`reload` when a file is another than the one in use: also one half of a pair whose other half is to come."""
        if self._sign() != self._signature:
            self.reload()

    def _sign(self) -> _Signature:
        signature = []
        for path in (self._cert, self._key):
            try:
                stat = path.stat()
            except OSError:
                signature.append((0, 0, 0))
            else:
                signature.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(signature)
