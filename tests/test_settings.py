"""Wrong settings end in one line that names the variable, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.core.services.vault import Vault, VaultError
from webapp.net.server_tls import CertificateError, server_context
from webapp.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql+psycopg://user:Geheim-1@host:port/name"),
        ("DATABASE_URL", "sqlite:///"),
        ("REDIS_URL", "redis://127.0.0.1:port/0"),
        ("DNS", "127.0.0.1:0"),
        ("PUBLIC_URL", "https://mail.example.org:99999"),
        ("PUBLIC_URL", "https://user:Geheim-1@mail.example.org"),
        ("PUBLIC_SMTP", "mail.example.org:0"),
        ("PUBLIC_SMTP", "mail.example.org:587,99999"),
    ],
)
def test_an_address_that_can_mean_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"POSTLATCH_{name}", value)

    with pytest.raises(SettingsError) as caught:
        load_settings(_env_file=None)

    assert str(caught.value).startswith(f"POSTLATCH_{name}: must ")
    assert "Geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql+psycopg:///postlatch"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("PUBLIC_SMTP", "mail.example.org:587,465"),
        ("PUBLIC_URL", "https://mail.example.org:8443/"),
    ],
)
def test_addresses_as_people_write_them_are_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"POSTLATCH_{name}", value)

    assert load_settings(_env_file=None).is_fixed(name.lower())


def test_a_data_directory_that_is_none_is_one_line_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(VaultError, match=r"\APOSTLATCH_DATA_DIR: .+\Z"):
            Vault.open(data_dir)


def test_certificate_files_that_are_missing_are_one_line_with_their_variables(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"\APOSTLATCH_TLS_CERT .+ POSTLATCH_TLS_KEY .+No such file.*\Z"):
        server_context(tmp_path / "cert.pem", tmp_path / "key.pem")
