"""Hashing passwords, slowly and evenly.

argon2id with the parameters that OWASP's cheat sheet puts first (19 MiB, 2 passes, 1 lane): some 25 ms, so that a
burst of log-ins doesn't take the machine away from the mail.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode
from collections.abc import Sequence

from argon2 import PasswordHasher, Type
from argon2.low_level import hash_secret

_TIME_COST, _MEMORY_KIB, _LANES, _LENGTH = 2, 19456, 1, 32
_hasher = PasswordHasher(
    time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=_LANES, hash_len=_LENGTH, salt_len=16, type=Type.ID
)
#: Verified in place of a user who is not there, so that an unknown name takes as long as a wrong password.
_NOBODY = _hasher.hash(secrets.token_urlsafe(32))


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
    computed: dict[bytes, str] = {}
    found = None
    for index, known in enumerate(hashes or [_NOBODY]):
        salt = _salt(known)
        if salt not in computed:
            computed[salt] = hash_secret(raw, salt, _TIME_COST, _MEMORY_KIB, _LANES, _LENGTH, Type.ID).decode()
        if hmac.compare_digest(computed[salt], known) and found is None and hashes:
            found = index
    return found


def _salt(phc: str) -> bytes:
    encoded = phc.split("$")[4]
    return b64decode(encoded + "=" * (-len(encoded) % 4))
