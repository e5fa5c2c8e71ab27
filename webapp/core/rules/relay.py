"""The smarthost that mail leaves through, as one URL says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

RelaySecurity = Literal["opportunistic", "starttls", "tls"]
_SCHEMES: dict[str, tuple[RelaySecurity, int]] = {
    "smtp": ("opportunistic", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True, slots=True)
class RelayTarget:
    """Host, port, TLS and log-in of a smarthost.

    ``opportunistic`` uses STARTTLS when it is offered, ``starttls`` requires it, ``tls`` is implicit TLS (RFC 8314).
    """

    host: str
    port: int
    security: RelaySecurity
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> RelayTarget:
        """Read ``smtp://``, ``smtp+starttls://`` or ``smtps://[user:password@]host[:port]``. Raise `ValueError`."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            raise ValueError("must be an address such as smtp+starttls://user:password@mail.example.org:587") from None
        if parts.scheme not in _SCHEMES:
            raise ValueError("must start with smtp://, smtp+starttls:// or smtps://")
        if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment or port == 0:
            raise ValueError("must be an address such as smtp+starttls://user:password@mail.example.org:587")
        security, usual_port = _SCHEMES[parts.scheme]
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if (username is None) != (password is None):
            raise ValueError("must have both a user and a password, or neither")
        return cls(parts.hostname, port or usual_port, security, username, password)

    @property
    def url(self) -> str:
        """The URL again, with the password: for the encrypted setting only."""
        scheme = next(name for name, (security, _) in _SCHEMES.items() if security == self.security)
        login = f"{quote(self.username, safe='')}:{quote(self.password or '', safe='')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port}"

    @property
    def label(self) -> str:
        """How logs and pages name it: never with the password."""
        return f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether *host* is this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
