"""Why something was refused, in words for whoever runs the office: what happened, and what to do about it.

A program that is refused is told little, since it may be a stranger's. An admin may know the cause.
"""
# ruff: noqa: E501 - a table reads best one line an entry

from __future__ import annotations

import re
from dataclasses import dataclass

from webapp.core.rules.networks import normalise_ip
from webapp.core.rules.refusals import REFERENCE_ALPHABET, REFERENCE_LENGTH

_REFERENCE = f"[{REFERENCE_ALPHABET}]{{{REFERENCE_LENGTH}}}"
_MARKED = re.compile(rf"\[\s*ref\s+({_REFERENCE})\s*\]", re.IGNORECASE)
_NAMED = re.compile(rf"(?:reference|request-id|\bref)[\"'=:\s]+({_REFERENCE})(?![A-Za-z0-9])", re.IGNORECASE)
_STANDING_ALONE = re.compile(rf"(?<![A-Za-z0-9])({_REFERENCE})(?![A-Za-z0-9])")
_BARE = re.compile(rf"(?:ref(?:erence)?[\s:]*)?({_REFERENCE})\.?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`what` happened and what `to_do`, each a sentence or two."""

    what: str
    to_do: str


_ANSWER = Explanation(
    "The request was refused for the reason that the program was told.",
    "Read that sentence below: it says what to change.",
)
_PROGRAM = "Check the program's settings against the connection card in the panel. If it goes on, ask its maker."
_WAIT = (
    "Nothing is needed here: programs try again by themselves. If it goes on for an hour, tell whoever runs the server."
)
_STRANGERS = "If you know this address, check the program there. If not, it was a stranger, and nothing needs doing."

# fmt: off
#: By the cause that only the log knows, first; else by the reason's code.
_BY_CAUSE: dict[tuple[str, str], Explanation] = {
    ("auth_failed", "wrong_password"): Explanation("The username exists, but the password was wrong.", "Copy the password again into the program, or give the SMTP user a new one on the Credentials page."),
    ("auth_failed", "unknown_user"): Explanation("There is no SMTP user with this name.", "Look for a typing error: the username is a whole e-mail address. If the user should exist, add it on the Credentials page."),
    ("auth_failed", "disabled"): Explanation("The password was right, but the SMTP user is disabled.", "Enable it on the Credentials page, if it should send again."),
    ("auth_failed", "expired"): Explanation("The password was right, but the SMTP user has expired.", "Set a later date on the Credentials page, if it should send again."),
    ("auth_failed", "address_not_allowed"): Explanation("The password was right, but the SMTP user may not be used from this address.", "If the address is yours, click the user's lock icon on the Credentials page and add it. If not, somebody else has the password: give the user a new one."),
    ("auth_failed", "foreign_identity"): Explanation("The program asked to act for another user than the one that logs in.", "In the program, leave the field called authorization identity (or “log in as”) empty."),
    ("auth_failed", "empty_credentials"): Explanation("The program sent an empty username or password.", "Type both into the program again."),
    ("key_invalid", "malformed_key"): Explanation("What was sent is not an API key at all.", "Copy the whole key: it starts with pl_ and is one word. If it is lost, create a new one on the Credentials page."),
    ("key_invalid", "unknown_key"): Explanation("No such API key exists here; it may have been deleted.", "Create a new key on the Credentials page, and put it into the program."),
    ("key_invalid", "wrong_secret"): Explanation("The key exists, but its secret part was wrong, or was replaced by a rotation.", "Copy the whole key again. If it is lost, rotate it on the Credentials page."),
    ("login_failed", "wrong_password"): Explanation("Somebody gave this person's e-mail address with a wrong password.", "If the person has forgotten it, an owner can make a link for a new password on the People page."),
    ("login_failed", "unknown_user"): Explanation("Nobody with this e-mail address may open the panel.", "Look for a typing error. An owner can add the person on the People page."),
    ("login_failed", "disabled"): Explanation("The password was right, but this person's access is disabled.", "An owner can enable it on the People page."),
    ("not_found", "dead_link"): Explanation("The link for choosing a password was used already, or is too old.", "An owner can make a new one on the People page."),
    ("sender_not_allowed", "null_sender"): Explanation("The program gave no sender at all, as only automatic reports do.", "Set a sender address in the program, one at the domain of its log-in."),
    ("from_not_allowed", "from_count"): Explanation("The message has no From line, or more than one.", "The program must write exactly one From line, with one address at the domain of its log-in."),
    ("too_many_errors", "endless_line"): Explanation("A line came that never ended.", _STRANGERS),
    ("too_many_errors", "too_many_junk_commands"): Explanation("The program sent many commands that do nothing.", _STRANGERS),
    ("protocol", "tls_expected"): Explanation("The program began to encrypt at once, on the port where encryption starts with STARTTLS.", "In the program, choose STARTTLS for this port, or the port for SSL/TLS; the connection card names both."),
    ("protocol", "early_talker"): Explanation("The other side spoke before it was greeted, which no mail program does.", _STRANGERS),
    ("protocol", "early_message"): Explanation("The message came before the server had agreed to take it.", _PROGRAM),
    ("protocol", "foreign_protocol"): Explanation("A web browser or a web program spoke to the mail port.", "Web programs belong to the HTTP API; its address is on the start page."),
    ("protocol", "starttls_injection"): Explanation("Something was slipped in before the encryption began. That may be an attack on the connection.", "Use the port for SSL/TLS, where everything is encrypted from the start."),
    ("storage", "database_unavailable"): Explanation("The database could not be reached.", _WAIT),
    ("storage", "delivery_in_hand"): Explanation("A report on a message came in while that message was being sent.", "Nothing: it comes again by itself."),
    ("auth_unavailable", "too_many_log_ins"): Explanation("So many others were trying to log in, most likely guessing, that this one could not be checked in time.", "Nothing: programs try again by themselves, and those that have sent from the same address before are served first."),
    ("auth_unavailable", "database_unavailable"): Explanation("The database could not be reached, so nobody could log in.", _WAIT),
}
_BY_CODE: dict[str, Explanation] = {
    "auth_required": Explanation("The program tried to send without logging in.", "Turn on authentication in the program, with an SMTP user's name and password."),
    "auth_needs_tls": Explanation("The program wanted to send its password unencrypted.", "Turn on STARTTLS (or SSL/TLS) in the program, as the connection card shows."),
    "auth_malformed": Explanation("The log-in was garbled.", _PROGRAM),
    "auth_cancelled": Explanation("The program broke off its own log-in.", "Nothing, if it worked the next time. Else check the username and password in the program."),
    "auth_mechanism": Explanation("The program wanted to log in by a method that is not offered here.", "Choose “normal password” (PLAIN or LOGIN) in the program; it is safe, since the connection is encrypted."),
    "auth_failed": Explanation("The log-in was refused.", "Check username and password in the program against the Credentials page."),
    "auth_unavailable": Explanation("Log-ins could not be checked just then.", _WAIT),
    "key_missing": Explanation("The call carried no API key.", "Put the key into the program, as a Bearer token or in the header X-API-Key."),
    "key_invalid": Explanation("The API key was refused.", "Copy the whole key again, or create a new one on the Credentials page."),
    "key_expired": Explanation("The API key is right, but has expired.", "Set a later date on the Credentials page, or create a new key."),
    "key_revoked": Explanation("The API key is right, but was disabled.", "Enable it on the Credentials page, if it should send again."),
    "address_not_allowed": Explanation("The API key is right, but may not be used from this address.", "If the address is yours, click the key's lock icon on the Credentials page and add it. If not, somebody else has the key: rotate it."),
    "address_locked": Explanation("The address was locked, since too many wrong log-ins had come from it. While the lock lasts, right ones are refused as well.", "Put right the program that tries a wrong password, then unlock the address below, or wait."),
    "credential_locked": Explanation("The log-in was locked after too many wrong passwords.", "Unlock it below, or wait until the lock ends. If nobody of yours mistyped, somebody is guessing: choose a long password."),
    "login_failed": Explanation("The log-in to the panel was refused.", "Try again, or ask an owner for a new link."),
    "credential_revoked": Explanation("The log-in was disabled, deleted or expired while the program was connected.", "Enable it on the Credentials page, if it should send again."),
    "blocklisted": Explanation("The address is on a public blocklist of machines that send spam.", "If the address is yours, look it up at the list's own site, which says why it is there and how to be taken off. To let it in meanwhile, exempt it on the Blocklists page. If it is not yours, nothing needs doing."),
    "too_many_connections": Explanation("The program had too many connections open at once.", "Have it send fewer messages at the same time."),
    "too_many_errors": Explanation("The program made one error after another, and was disconnected.", _PROGRAM),
    "idle": Explanation("Nothing came for a long time, and the connection was closed.", "Nothing: the program connects again when it has mail."),
    "shutting_down": Explanation("This server was restarting.", "Nothing: programs try again by themselves."),
    "protocol": Explanation("The other side did not speak the mail protocol as it must be spoken.", _STRANGERS),
    "bad_command": Explanation("The program sent a command that is not known here.", _PROGRAM),
    "bad_sequence": Explanation("The program sent its commands in the wrong order.", _PROGRAM),
    "bad_arguments": Explanation("The program sent a command with wrong arguments.", _PROGRAM),
    "not_offered": Explanation("The program asked for something that is not offered here.", _PROGRAM),
    "parameter_unknown": Explanation("The program asked for an extension that is not offered here.", _PROGRAM),
    "internal": Explanation("Something went wrong in Postlatch itself.", "Try again. If it happens again, tell whoever runs the server this reference: the log has more."),
    "sender_not_allowed": Explanation("The sender's address is not at the domain that this log-in is for.", "Change the sender in the program, or use a log-in of that other domain."),
    "from_not_allowed": Explanation("The message's From line is not exactly one address at the domain that this log-in is for.", "Change the From address in the program, or use a log-in of that other domain."),
    "header_not_allowed": Explanation("The message names a sender outside the domain that this log-in is for.", "Have the program leave that line out, or use an address at the log-in's domain."),
    "domain_unverified": Explanation("The sending domain has not been verified, so no mail may leave in its name.", "On the Domains page, publish the DNS record that is shown there, or have an owner vouch for the domain."),
    "recipient_invalid": Explanation("A recipient's address is no valid e-mail address.", "Correct the address where the program has it from."),
    "sender_invalid": Explanation("The sender's address is no valid e-mail address.", "Correct the sender in the program."),
    "needs_smtputf8": Explanation("An address has letters such as ü or 中, and the program did not announce them.", "Use an address without such letters, or a newer mail program."),
    "return_address_unknown": Explanation("Somebody's server brought mail to the port for returned mail, for an address that this server never sent from. Spammers try such ports.", "Nothing. If one of your own programs did it, have it send by the submission port, with a log-in."),
    "no_recipients": Explanation("The message was for nobody.", "Give at least one recipient."),
    "too_many_recipients": Explanation("The message was for too many people at once.", "Have the program send it in smaller groups."),
    "too_large": Explanation("The message was larger than this server takes.", "Send smaller attachments, or a link to them."),
    "loop": Explanation("The message had passed through so many servers that it must be going in a circle.", "Look for a forwarding rule that sends mail back to where it came from."),
    "content_invalid": Explanation("The message is not written as mail must be.", _PROGRAM),
    "quota": Explanation("The limit on messages that an admin has set was reached.", "Wait: the program may send again after a while. If it should send more, raise the limit at the credential or the domain."),
    "too_many_requests": Explanation("The program called the API more often than an admin allows.", "Nothing, if it waits and goes on by itself. If it should call more often, raise the limit on the Settings page."),
    "storage": Explanation("Mail could not be stored just then.", _WAIT),
    "idempotency_reused": Explanation("The program used one message's key (its idempotency key) again for another message.", "The program must make a new key for each new message."),
    "form_expired": Explanation("A form was sent after its page had expired, or from another site.", "Open the page again and send the form once more."),
    "role": Explanation("The person's role does not allow what they tried.", "An owner can do it, or give the person another role on the People page."),
    "bad_request": Explanation("The request could not be read.", _PROGRAM),
    "invalid_field": Explanation("A field of the request was missing or wrong.", "The sentence below names the field and what it should be."),
    "not_found": Explanation("There was nothing at the address that was asked for.", "Check the address for a typing error."),
    "method_not_allowed": Explanation("The address exists, but takes another kind of request.", _PROGRAM),
    "unsupported_type": Explanation("The request was in a format that is not taken here.", _PROGRAM),
    "not_ready": Explanation("The program asked for a message whose attachments were still being fetched from the web.", "Nothing: it can ask again in a minute."),
}
# fmt: on


def explain(code: str, cause: str = "") -> Explanation:
    """What the refusal with that *code*, for that *cause*, was about."""
    return _BY_CAUSE.get((code, cause)) or _BY_CODE.get(code) or _ANSWER


def references_in(text: str) -> list[str]:
    """What may be a reference in *text*, a whole bounce or a piece of a log; the likeliest first.

    In capitals a word can look like one: the log tells which is one.
    """
    if match := _BARE.match(text.strip()):
        return [match[1].upper()]
    found = [match[1].upper() for pattern in (_MARKED, _NAMED) for match in pattern.finditer(text)]
    return list(dict.fromkeys([*found, *_STANDING_ALONE.findall(text)]))


def address_in(text: str) -> str | None:
    """The address that *text* is, as ``192.0.2.10`` or ``[IPv6:2001:db8::1]``; None when it is none."""
    try:
        return str(normalise_ip(text.strip().strip("[]").removeprefix("IPv6:")))
    except ValueError:
        return None
