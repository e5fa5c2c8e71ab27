"""Why something was refused, in two or three words, for lists."""

from __future__ import annotations

#: By the cause that the log knows, else by the reason's code.
_WORDS = {
    "wrong_password": "wrong password",
    "wrong_secret": "wrong secret",
    "disabled": "disabled",
    "expired": "expired",
    "address_not_allowed": "address not allowed",
    "foreign_identity": "asked to be another user",
    "empty_credentials": "no password given",
    "key_expired": "expired",
    "key_revoked": "disabled",
    "credential_revoked": "disabled or expired",
    "address_locked": "address locked",
    "credential_locked": "locked out",
    "sender_not_allowed": "sender outside the domain",
    "null_sender": "no sender given",
    "from_not_allowed": "From outside the domain",
    "header_not_allowed": "header outside the domain",
    "domain_unverified": "domain not verified",
    "recipient_invalid": "invalid recipient",
    "too_many_recipients": "too many recipients",
    "too_large": "too large",
    "quota": "sending limit reached",
    "too_many_requests": "too many requests",
    "storage": "could not be stored",
    "content_invalid": "message not well formed",
    "idempotency_reused": "idempotency key used again",
}


def short_cause(code: str, cause: str = "") -> str:
    """The words for a refusal with that *code*, for that *cause*."""
    return _WORDS.get(cause) or _WORDS.get(code) or code.replace("_", " ")
