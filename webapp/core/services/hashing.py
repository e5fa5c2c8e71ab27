"""Hashing passwords, slowly and evenly.

argon2id with the parameters that OWASP's cheat sheet puts first (19 MiB, 2 passes, 1 lane): some 25 ms, so that a
burst of log-ins doesn't take the machine away from the mail.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode
from collections.abc import Sequence
from functools import cache

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.low_level import hash_secret

_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


def hash_password(password: str, *, beside: str | None = None) -> str:
    """Hash *password* (PHC string). With *beside*, an older hash of the same user, reuse its salt.

    One computation then tells about both during a rotation: the answer takes no longer than usual. A salt must
    differ between users; two passwords of one user may share it.
    """
    raw = password.encode("utf-8", "surrogatepass")
    return _hasher.hash(raw, salt=_salt(beside)) if beside else _hasher.hash(raw)


def matching(password: str, hashes: Sequence[str]) -> int | None:
    """The index of the hash that *password* matches, or None. As slow without any hash as with one or two."""
    raw = password.encode("utf-8", "surrogatepass")
    computed: dict[str, str] = {}
    found = None
    for index, known in enumerate(hashes or [_nobody()]):
        made_with = known.rpartition("$")[0]  # parameters and salt
        if made_with not in computed:
            computed[made_with] = _hashed_as(known, raw)
        if hmac.compare_digest(computed[made_with], known) and found is None and hashes:
            found = index
    return found


@cache
def _nobody() -> str:
    """Verified in place of a user who is not there, so that an unknown name takes as long as a wrong password."""
    return _hasher.hash(secrets.token_urlsafe(32))


def _hashed_as(known: str, raw: bytes) -> str:
    """*raw* with the parameters and the salt of *known*: they may be those of an earlier release."""
    of = extract_parameters(known)
    salt = _salt(known)
    return hash_secret(raw, salt, of.time_cost, of.memory_cost, of.parallelism, of.hash_len, of.type).decode()


def _salt(phc: str) -> bytes:
    encoded = phc.split("$")[4]
    return b64decode(encoded + "=" * (-len(encoded) % 4))
