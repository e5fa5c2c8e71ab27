"""A gateway without a database: the calls of the real one, with a few users and what they sent in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

from webapp.core.rules.addresses import AddressError, domain_of, parse_address
from webapp.core.rules.blocklists import Finding, Rules
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Accepted, Credential, Peer, Submission
from webapp.settings import Settings

USER, PASSWORD, DOMAIN = "printer@example.test", "Correct-Horse", "example.test"


@dataclass
class MemoryGateway:
    """What it was asked is in its lists; a test may replace a hook to make it answer otherwise."""

    settings: Settings
    submissions: list[Submission] = field(default_factory=list)
    refusals: list[tuple[Refused, Peer, str | None]] = field(default_factory=list)
    attempts: list[tuple[str, str, Peer]] = field(default_factory=list)
    beats: list[str] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    listed: list[tuple[str, list[str], Finding | None]] = field(default_factory=list)
    on_admit: Callable[[Peer], None] = lambda peer: None
    on_authenticate: Callable[[str], None] = lambda username: None
    on_sender: Callable[[str], None] = lambda address: None
    on_submit: Callable[[Submission], Future[Accepted] | None] = lambda submission: None
    on_beat: Callable[[], None] = lambda: None
    submitted: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def admit(self, peer: Peer) -> None:
        self.on_admit(peer)

    def blocklist_rules(self) -> Rules:
        return self.rules

    def note_listed(
        self, ip: str, findings: Sequence[Finding], refused_by: Finding | None, reference: str | None
    ) -> None:
        self.listed.append((ip, [finding.zone.name for finding in findings if finding.listed], refused_by))

    def is_familiar(self, ip: str) -> bool:
        return False

    def check_room(self, peer: Peer) -> None:
        pass

    def authenticate_smtp(self, username: str, password: str, peer: Peer) -> Credential:
        self.attempts.append((username, password, peer))
        self.on_authenticate(username)
        if (username.lower(), password) != (USER, PASSWORD):
            raise Refused(Reason.AUTH_FAILED, cause="wrong_password")
        return Credential("smtp_user", 1, USER, 1, DOMAIN, 1)

    def check_sender(self, credential: Credential, envelope_from: str) -> int:
        self.on_sender(envelope_from)
        if domain_of(envelope_from).lower() != credential.domain:
            raise Refused(Reason.SENDER_NOT_ALLOWED, domain=credential.domain)
        return self.settings.max_recipients

    def check_recipient(self, address: str, *, smtputf8: bool) -> str:
        if not smtputf8 and not address.isascii():
            raise Refused(Reason.NEEDS_SMTPUTF8)
        try:
            return parse_address(address, smtputf8=smtputf8)
        except AddressError as error:
            raise Refused(Reason.RECIPIENT_INVALID, address=address, problem=error) from None

    def submit(self, submission: Submission) -> Future[Accepted]:
        self.submitted.release()
        if future := self.on_submit(submission):
            return future
        self.submissions.append(submission)
        future = Future()
        future.set_result(receipt(submission, f"m{len(self.submissions)}"))
        return future

    def refuse(
        self, refused: Refused, peer: Peer, *, credential: Credential | None = None, name: str | None = None
    ) -> None:
        self.refusals.append((refused, peer, name))

    def heartbeat(self, process: str) -> None:
        self.beats.append(process)
        self.on_beat()


def receipt(submission: Submission, id_: str) -> Accepted:
    """What the gateway answers for a message that is stored."""
    return Accepted(
        id_, "queued", DOMAIN, submission.envelope_from, submission.recipients, datetime.now(UTC), repeated=False
    )
