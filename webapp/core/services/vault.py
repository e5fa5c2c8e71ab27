"""The app's key: one file in the data directory, from which every other key is derived."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class VaultError(Exception):
    """The key file can't be used, or a stored secret was encrypted with another key."""


class Vault:
    """Encrypts stored secrets, and makes keyed digests of what must be recognised but never read."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(base64.urlsafe_b64encode(self._derive(b"encryption")))
        self._digest_key = self._derive(b"digest")
        self.cookie_key = self._derive(b"cookie").hex()

    @classmethod
    def open(cls, data_dir: Path) -> Vault:
        """Read ``secret.key``, making it at the first start. Raise `VaultError` when it is damaged or out of reach."""
        path = data_dir / "secret.key"
        try:
            key = cls._read(data_dir, path)
        except OSError as error:
            raise VaultError(f"POSTLATCH_DATA_DIR: {error.filename or path} can't be used: {error.strerror}") from None
        except ValueError:
            key = b""
        if len(key) != 32:
            raise VaultError(f"{path} is damaged: restore it from a backup")
        return cls(key)

    @staticmethod
    def _read(data_dir: Path, path: Path) -> bytes:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Written aside and linked into place: of two processes that start together, one wins, and both read it.
            aside = data_dir / f".secret.key.{os.getpid()}.{secrets.token_hex(4)}"
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, path)
            except FileExistsError:
                pass
            finally:
                aside.unlink()
        return bytes.fromhex(path.read_text().strip())

    def encrypt(self, text: str) -> str:
        """Encrypt and authenticate *text* (Fernet: AES-128-CBC with HMAC-SHA256)."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Undo `encrypt`. Raise `VaultError` when another key made it."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise VaultError("a stored secret can't be read: the data directory has another secret.key") from None

    def digest(self, *parts: str) -> bytes:
        """32 octets that are the same for the same *parts*, and tell nothing without the key."""
        message = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (p.encode("utf-8", "replace") for p in parts))
        return hmac.new(self._digest_key, message, sha256).digest()

    def _derive(self, purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"postlatch " + purpose).derive(self._key)
