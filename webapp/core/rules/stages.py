"""The steps that every message passes on its way in, in order, and at which of them a refusal happened."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """A step; its value is what people call it."""

    CONNECTION = "Connection"
    BLOCKLISTS = "Blocklists"
    LOCKS = "Locks after failed log-ins"
    LOGIN = "Log-in"
    ALLOWED = "Allowed addresses"
    REQUESTS = "Requests a minute"
    DOMAIN = "Sending domain"
    MESSAGE = "Recipients, size and content"
    QUOTA = "Sending limits"
    STORAGE = "Storing"


#: Steps that only one door has.
_ONLY_AT = {Stage.BLOCKLISTS: "smtp", Stage.REQUESTS: "http"}
_CODES = {
    Stage.CONNECTION: "too_many_connections too_many_errors idle shutting_down protocol bad_command bad_sequence "
    "bad_arguments not_offered parameter_unknown auth_needs_tls",
    Stage.BLOCKLISTS: "blocklisted",
    Stage.LOCKS: "address_locked credential_locked",
    Stage.LOGIN: "auth_required auth_malformed auth_cancelled auth_mechanism auth_failed auth_unavailable key_missing "
    "key_invalid key_expired key_revoked login_failed credential_revoked",
    Stage.ALLOWED: "address_not_allowed",
    Stage.REQUESTS: "too_many_requests",
    Stage.DOMAIN: "sender_not_allowed sender_invalid domain_unverified",
    Stage.MESSAGE: "from_not_allowed header_not_allowed recipient_invalid needs_smtputf8 no_recipients "
    "too_many_recipients too_large loop content_invalid invalid_field bad_request unsupported_type not_available",
    Stage.QUOTA: "quota",
    Stage.STORAGE: "storage idempotency_reused",
}
_STAGE_OF = {code: stage for stage, codes in _CODES.items() for code in codes.split()}


def stage_of(code: str, cause: str = "") -> Stage | None:
    """Where the refusal with that *code*, for that *cause*, happened; None for what is no step of a message's way."""
    if cause == "address_not_allowed":
        return Stage.ALLOWED
    return _STAGE_OF.get(code)


def stages(door: str | None = None) -> tuple[Stage, ...]:
    """The steps of a message that comes by *door*; all of them without one."""
    if door == "panel":
        return (Stage.LOCKS, Stage.LOGIN)
    return tuple(stage for stage in Stage if door is None or _ONLY_AT.get(stage, door) == door)
