"""Every reason for which a door refuses, written once: its HTTP answer, its SMTP reply, its sentence.

A rule raises `Refused`; the door turns it into its own language with `http_message` or `smtp_reply`. The
sentence says what to do. Enhanced status codes are those of RFC 3463 and RFC 5248.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from typing import Any

#: Without I, O, 0 and 1, so that a reference survives a telephone call.
REFERENCE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
REFERENCE_LENGTH = 10
#: No-code platforms cut a longer error message.
HTTP_MESSAGE_LENGTH = 250
#: A problem is our own sentence, which says what to do at its end; other details are the client's texts.
_LENGTHS = {"problem": 220, "listing": 220, "zone": 189}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one reason sounds like at each door. `sentence` may name details: ``{address}``."""

    code: str
    http_status: int
    smtp_code: int
    enhanced: str
    sentence: str


class Reason(Enum):
    """Why something is refused. The names are stable: the log, the trace page and the API use them."""

    # fmt: off
    # Who is asking
    AUTH_REQUIRED = Answer("auth_required", 401, 530, "5.7.0", "Log in first: this server sends for its own users only.")
    AUTH_NEEDS_TLS = Answer("auth_needs_tls", 403, 538, "5.7.11", "Turn on STARTTLS (or SSL/TLS) in your program: passwords are taken encrypted only.")
    AUTH_MALFORMED = Answer("auth_malformed", 400, 501, "5.5.2", "The log-in could not be read: {problem}.")
    AUTH_CANCELLED = Answer("auth_cancelled", 400, 501, "5.7.0", "The log-in was cancelled, as your program asked.")
    AUTH_MECHANISM = Answer("auth_mechanism", 400, 504, "5.5.4", "This way to log in is not offered: use PLAIN or LOGIN.")
    AUTH_FAILED = Answer("auth_failed", 401, 535, "5.7.8", "Username or password not accepted, or not usable now or from your address: ask your administrator, giving this reference.")
    AUTH_UNAVAILABLE = Answer("auth_unavailable", 503, 454, "4.7.0", "Log-ins can't be checked right now: try again in a minute.")
    KEY_MISSING = Answer("key_missing", 401, 530, "5.7.0", "Send your API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
    KEY_INVALID = Answer("key_invalid", 401, 535, "5.7.8", "This API key is not known: copy it again, or create a new one in the panel.")
    KEY_EXPIRED = Answer("key_expired", 401, 535, "5.7.8", "This API key has expired: set a later date in the panel, or create a new key.")
    KEY_REVOKED = Answer("key_revoked", 401, 535, "5.7.8", "This API key was disabled or deleted: enable it in the panel, or create a new one.")
    ADDRESS_NOT_ALLOWED = Answer("address_not_allowed", 403, 535, "5.7.8", "This API key may not be used from {address}: click the key's lock icon in the panel and add that address.")
    ADDRESS_LOCKED = Answer("address_locked", 429, 421, "4.7.0", "Too many failed attempts from {address}: wait until the lock ends, or ask your administrator to clear it.")
    CREDENTIAL_LOCKED = Answer("credential_locked", 429, 454, "4.7.0", "Too many failed attempts for this log-in: wait until the lock ends, or ask your administrator.")
    LOGIN_FAILED = Answer("login_failed", 401, 535, "5.7.8", "E-mail address or password not accepted: try again, or ask an owner for a new link.")
    CREDENTIAL_REVOKED = Answer("credential_revoked", 401, 550, "5.7.1", "This log-in was disabled or deleted, or has expired: ask your administrator.")
    # The connection
    BLOCKLISTED = Answer("blocklisted", 403, 554, "5.7.1", "Your address {address} is on the blocklist {zone}{listing}")
    TOO_MANY_CONNECTIONS = Answer("too_many_connections", 429, 421, "4.7.0", "Too many connections at once: close some, then try again.")
    TOO_MANY_ERRORS = Answer("too_many_errors", 429, 421, "4.7.0", "Too many errors on this connection: check the program's settings, then connect again.")
    IDLE = Answer("idle", 408, 421, "4.4.2", "Nothing came for too long: connect again when there is something to send.")
    SHUTTING_DOWN = Answer("shutting_down", 503, 421, "4.3.2", "The server is restarting: try again in a minute.")
    PROTOCOL = Answer("protocol", 400, 554, "5.5.0", "This is not the mail protocol as it must be spoken: {problem}.")
    BAD_COMMAND = Answer("bad_command", 400, 500, "5.5.2", "The command is not known, or is too long.")
    BAD_SEQUENCE = Answer("bad_sequence", 400, 503, "5.5.1", "That command can't come now: {problem}.")
    BAD_ARGUMENTS = Answer("bad_arguments", 400, 501, "5.5.4", "The command's arguments are wrong: {problem}.")
    NOT_OFFERED = Answer("not_offered", 400, 502, "5.5.1", "This command is not offered here.")
    PARAMETER_UNKNOWN = Answer("parameter_unknown", 400, 555, "5.5.4", "The parameter {parameter} is not offered here.")
    INTERNAL = Answer("internal", 500, 451, "4.3.0", "Something went wrong here: try again, and tell your administrator this reference.")
    # The message
    SENDER_NOT_ALLOWED = Answer("sender_not_allowed", 422, 553, "5.7.1", "The sender must be an address at {domain}, the domain of your log-in.")
    FROM_NOT_ALLOWED = Answer("from_not_allowed", 422, 550, "5.7.1", "The From: header {problem}: it must be exactly one address at {domain}.")
    HEADER_NOT_ALLOWED = Answer("header_not_allowed", 422, 550, "5.7.1", "The header {header} names an address outside {domain}.")
    DOMAIN_UNVERIFIED = Answer("domain_unverified", 422, 550, "5.7.1", "The domain {domain} has not been verified yet: an owner can publish its DNS record, or vouch for it, under Domains in the panel.")
    RECIPIENT_INVALID = Answer("recipient_invalid", 422, 553, "5.1.3", "The recipient address {address} is not valid: {problem}.")
    SENDER_INVALID = Answer("sender_invalid", 422, 553, "5.1.7", "The sender address {address} is not valid: {problem}.")
    NEEDS_SMTPUTF8 = Answer("needs_smtputf8", 422, 553, "5.6.7", "An address outside ASCII needs SMTPUTF8, which your program did not announce.")
    RETURN_ADDRESS_UNKNOWN = Answer("return_address_unknown", 404, 550, "5.1.1", "No mail is taken for {address} here, only reports on mail that this server sent.")
    NO_RECIPIENTS = Answer("no_recipients", 422, 503, "5.5.1", "The message has no recipient: give at least one.")
    TOO_MANY_RECIPIENTS = Answer("too_many_recipients", 422, 452, "4.5.3", "Too many recipients: at most {limit} a message, so send the rest in another.")
    TOO_LARGE = Answer("too_large", 413, 552, "5.3.4", "The message is too large: at most {limit_mb} MB with its attachments.")
    LOOP = Answer("loop", 422, 554, "5.4.6", "The message has passed through too many servers: it seems to go in a circle.")
    CONTENT_INVALID = Answer("content_invalid", 422, 550, "5.6.0", "The message can't be taken: {problem}.")
    QUOTA = Answer("quota", 429, 450, "4.7.1", "The limit of {limit} {period} for {whose} is reached: it can send again in {wait}.")
    TOO_MANY_REQUESTS = Answer("too_many_requests", 429, 450, "4.7.1", "Too many requests {whose}: at most {limit} a minute, so wait a little, then go on.")
    STORAGE = Answer("storage", 503, 451, "4.3.0", "Mail can't be stored right now: try again in a minute; nothing was lost.")
    IDEMPOTENCY_REUSED = Answer("idempotency_reused", 409, 550, "5.5.4", "This idempotency key was used for another message: use a new key for each new message.")
    # The panel only
    FORM_EXPIRED = Answer("form_expired", 400, 501, "5.5.4", "This form had expired: open the page again, and send it once more.")
    ROLE = Answer("role", 403, 550, "5.7.1", "Your role doesn't allow this: ask an owner of this server.")
    # HTTP only
    BAD_REQUEST = Answer("bad_request", 400, 501, "5.5.4", "The request could not be read: {problem}.")
    INVALID_FIELD = Answer("invalid_field", 422, 550, "5.6.0", "{problem}.")
    NOT_READY = Answer("not_ready", 409, 450, "4.3.0", "The files that this message names by their web address are still being fetched: try again in a minute.")
    NOT_FOUND = Answer("not_found", 404, 550, "5.1.1", "There is nothing here by that name: check the address and the id.")
    METHOD_NOT_ALLOWED = Answer("method_not_allowed", 405, 502, "5.5.1", "This address takes {allowed} only.")
    UNSUPPORTED_TYPE = Answer("unsupported_type", 415, 550, "5.6.1", "Send JSON, a form, or multipart/form-data, and say so in Content-Type.")
    # fmt: on

    @property
    def answer(self) -> Answer:
        """The reason's answers at the doors."""
        return self.value


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """Something is refused.

    *details* fill the sentence and are shown to the client. *cause* and *trace* are for the log and the trace page
    alone: a wrong password and an unknown user look alike from outside. *retry_after* is in seconds. *field* names
    the request's field at the HTTP door. *counted*: it is a failure that brought a lock nearer.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        field: str | None = None,
        retry_after: int | None = None,
        cause: str | None = None,
        trace: dict[str, Any] | None = None,
        counted: bool = False,
        **details: object,
    ) -> None:
        self.reason = reason
        self.field = field
        self.retry_after = retry_after
        self.cause = cause or reason.answer.code
        self.trace = trace or {}
        self.counted = counted
        self.reference = new_reference()
        self.details = {name: printable(value, _LENGTHS.get(name, 100)) for name, value in details.items()}
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The sentence for people, without the reference."""
        return self.reason.answer.sentence.format_map(self.details)

    @property
    def http_message(self) -> str:
        """The sentence with its reference, at most `HTTP_MESSAGE_LENGTH` characters."""
        mark = f" [ref {self.reference}]"
        sentence = self.sentence
        room = HTTP_MESSAGE_LENGTH - len(mark)
        return (sentence if len(sentence) <= room else sentence[: room - 1] + "…") + mark

    @property
    def smtp_reply(self) -> str:
        """One reply line without CRLF (RFC 5321 section 4.5.3.1.5: 512 octets with it), in ASCII."""
        answer = self.reason.answer
        head, mark = f"{answer.smtp_code} {answer.enhanced} ", f" [ref {self.reference}]"
        sentence = self.sentence.encode("ascii", "backslashreplace").decode("ascii")
        return head + sentence[: 500 - len(head) - len(mark)] + mark


def printable(value: object, longest: int = 100) -> str:
    """Make a client's text fit to be shown: control characters escaped, shortened to *longest* characters."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value)[: longest + 1]
    )
    return text if len(text) <= longest else text[: longest - 1] + "…"


def new_reference() -> str:
    """A fresh reference, 50 bits: too many to guess, short enough to read out."""
    return "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))
