"""What the operator sets from outside: environment variables, or the same names in `.env`.

Every name starts with ``POSTLATCH_``. An empty value counts as unset. A wrong value stops the start with
one line that names the variable and never repeats the value, which may hold a password.

What admins change while it runs lives in the database: see `webapp.core.services.preferences`.
"""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from webapp.core.rules.blocklists import zone_name
from webapp.core.rules.duration import parse_duration
from webapp.core.rules.relay import RelayTarget

Network = IPv4Network | IPv6Network
DeliveryMode = Literal["capture", "relay", "mx"]


class SettingsError(Exception):
    """A variable is wrong; the text is the one line to show."""


class Bind(NamedTuple):
    """A listening address: ``127.0.0.1:8080``, ``[::1]:8080`` or ``localhost:8080``."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: object) -> Bind:
        """Raise `ValueError` unless *value* is ``host:port``."""
        if isinstance(value, Bind):
            return value
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)):(\d{1,5})", str(value).strip())
        if not match or int(match[3]) > 65535:
            raise ValueError("must be host:port, for example 127.0.0.1:8080")
        return cls(match[1] or match[2], int(match[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PublicSmtp(NamedTuple):
    """What connection cards show: a host name and its ports for STARTTLS and implicit TLS, where there are such."""

    host: str
    starttls_port: int | None
    tls_port: int | None


def _networks(value: object) -> tuple[Network, ...]:
    if isinstance(value, str):
        value = [part for part in re.split(r"[,\s]+", value) if part]
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of networks such as 10.0.0.0/8,::1")
    try:
        return tuple(ip_network(str(part), strict=False) for part in value)
    except ValueError as error:
        raise ValueError("must be a list of networks such as 10.0.0.0/8,::1") from error


def _words(value: object) -> tuple[str, ...]:
    parts = re.split(r"[,\s]+", value) if isinstance(value, str) else list(value)  # type: ignore[call-overload]
    return tuple(part.lower().rstrip(".") for part in parts if part)


BindSetting = Annotated[Bind, NoDecode, BeforeValidator(Bind.parse)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]

_HOSTNAME = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\Z")


def _port_is_good(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


class Settings(BaseSettings):
    """The settings of one start. Durations are `timedelta`, sizes are in units that the name gives."""

    model_config = SettingsConfigDict(
        env_prefix="POSTLATCH_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Path("var")
    hostname: str = Field(default_factory=socket.getfqdn)
    database_url: str | None = None
    redis_url: str | None = None
    http_bind: BindSetting = Bind("127.0.0.1", 8080)
    smtp_bind: BindSetting = Bind("127.0.0.1", 2587)
    smtps_bind: BindSetting = Bind("127.0.0.1", 2465)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str | None = None
    public_smtp: str | None = None
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    smtp_proxy_protocol: bool = False
    delivery: DeliveryMode = "capture"
    relay_url: str | None = None
    mx_port: int = Field(25, ge=1, le=65535)
    allow_private_mx: bool = False
    bounce_bind: BindSetting | None = None
    dns: BindSetting | None = None
    rbl_zones: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    allow_private_webhooks: bool = False
    max_connections: int = Field(1000, ge=1)
    max_connections_per_ip: int = Field(100, ge=1)
    max_message_mb: int = Field(25, ge=1, le=1024)
    max_recipients: int = Field(1000, ge=1)
    lockout_failures: int = Field(10, ge=1)
    lockout_window: Duration = timedelta(minutes=15)
    lockout_first: Duration = timedelta(minutes=5)
    retry_first: Duration = timedelta(minutes=1)
    retry_max_age: Duration = timedelta(days=5)

    @field_validator("hostname")
    @classmethod
    def _check_hostname(cls, value: str) -> str:
        if not _HOSTNAME.match(value):
            raise ValueError("must be a host name such as mail.example.org")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql+psycopg://", "sqlite:///")):
            raise ValueError("must start with postgresql+psycopg:// or sqlite:///")
        try:
            parsed = value and make_url(value)
        except (ArgumentError, ValueError):
            parsed = None
        if value is not None and (not parsed or (parsed.get_backend_name() == "sqlite" and not parsed.database)):
            raise ValueError("must be an address such as postgresql+psycopg://user:password@127.0.0.1:5432/postlatch")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        if value is not None and not _port_is_good(value):
            raise ValueError("must be an address such as redis://127.0.0.1:6379/0")
        return value

    @field_validator("dns")
    @classmethod
    def _check_dns(cls, value: Bind | None) -> Bind | None:
        if value is not None and not value.port:
            raise ValueError("must name a port, for example 127.0.0.1:53")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        odd = parts.query or parts.fragment or parts.username is not None or not _port_is_good(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or odd:
            raise ValueError("must be an address such as https://mail.example.org")
        return value.rstrip("/")

    @field_validator("public_smtp")
    @classmethod
    def _check_public_smtp(cls, value: str | None) -> str | None:
        if value is None:
            return None
        match = re.fullmatch(r"[A-Za-z0-9.\-]+:(\d{1,5})(?:,(\d{1,5}))?", value)
        if not match or not all(1 <= int(port) <= 65535 for port in match.groups() if port):
            raise ValueError("must be host:port or host:port,port, for example mail.example.org:587,465")
        return value

    @field_validator("rbl_zones")
    @classmethod
    def _check_rbl_zones(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(zone_name, value)))

    @field_validator("relay_url")
    @classmethod
    def _check_relay_url(cls, value: str | None) -> str | None:
        if value is not None:
            RelayTarget.parse(value)
        return value

    @model_validator(mode="after")
    def _check_tls_pair(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "POSTLATCH_TLS_KEY" if self.tls_key is None else "POSTLATCH_TLS_CERT"
            raise ValueError(f"{missing} is missing: the certificate and its key are set together")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL; by default SQLite in the data directory."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'postlatch.db').resolve()}"

    @property
    def tls_files(self) -> tuple[Path, Path]:
        """The certificate and its key, both PEM."""
        if self.tls_cert and self.tls_key:
            return self.tls_cert, self.tls_key
        return self.data_dir / "tls" / "cert.pem", self.data_dir / "tls" / "key.pem"

    @property
    def base_url(self) -> str:
        """How browsers and programs reach the panel and the API, without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.http_bind.host)  # noqa: S104 - not a bind
        if host is None:
            return f"http://{self.http_bind}"
        return f"http://{host}:{self.http_bind.port}"

    @property
    def smtp_endpoint(self) -> PublicSmtp:
        """What mail programs are told to connect to."""
        if not self.public_smtp:
            host = self.smtp_bind.host
            if host in {"0.0.0.0", "::"}:  # noqa: S104 - not a bind
                host = self.hostname
            return PublicSmtp(host, self.smtp_bind.port, self.smtps_bind.port)
        host, _, ports = self.public_smtp.partition(":")
        numbers = [int(port) for port in ports.split(",")]
        implicit = [port for port in numbers if port in {465, 2465}]
        starttls = [port for port in numbers if port not in implicit]
        return PublicSmtp(host, starttls[0] if starttls else None, implicit[0] if implicit else None)

    @property
    def max_message_bytes(self) -> int:
        """The largest message, in octets, at every door."""
        return self.max_message_mb * 1024 * 1024

    def is_fixed(self, name: str) -> bool:
        """Whether a variable sets *name*, so that the Settings page can't."""
        return name in self.model_fields_set


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and `.env`; *overrides* win over both. Raise `SettingsError` with one line."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        text = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:
            raise SettingsError(text) from None
        raise SettingsError(f"POSTLATCH_{str(first['loc'][0]).upper()}: {text}") from None
