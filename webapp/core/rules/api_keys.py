"""API keys: ``pl_<id>_<secret>``. The id finds the row; the secret proves the right to use it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

PREFIX = "pl_"
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_SECRET_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"  # noqa: S105 - an alphabet
_ID_LENGTH, _SECRET_LENGTH = 10, 43  # 43 times log2(62) is 256 bits
_FORM = re.compile(rf"{PREFIX}([{_ID_ALPHABET}]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})\Z")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The two halves of a key."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The whole key, as it is shown once."""
        return f"{PREFIX}{self.public_id}_{self.secret}"


def new_api_key() -> ApiKey:
    """A fresh key."""
    return ApiKey(
        "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH)),
    )


def parse_api_key(text: str) -> ApiKey | None:
    """Read a key, or give None for anything else."""
    match = _FORM.match(text)
    return ApiKey(match[1], match[2]) if match else None


def digest_secret(secret: str) -> bytes:
    """SHA-256 of a key's secret.

    A slow hash protects what people choose, because that can be guessed. This secret has 256 random bits: nobody
    guesses it however fast the hash is, and every request of a program pays for the hash.
    """
    return sha256(secret.encode("ascii", "replace")).digest()
