"""The one acceptance path: every door brings its mail here, and here alone it is judged and stored.

The rules that need no database run in the caller's thread; the rest runs inside the group commit, in the very
transaction that stores the message. Once the future resolves, the message is on disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import CredentialRow, Domain, IdempotencyKey, Message, utcnow
from webapp.core.rules.addresses import AddressError, domain_name, domain_of, parse_address
from webapp.core.rules.identifiers import new_message_id
from webapp.core.rules.message import Prepared, prepare
from webapp.core.rules.refusals import Reason, Refused, printable
from webapp.core.rules.statuses import Status
from webapp.core.rules.submission import Accepted, Credential, Peer, Submission
from webapp.core.services import quotas
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.preferences import Preferences
from webapp.core.services.quotas import LIMIT_COLUMNS, SenderLimits
from webapp.core.services.spool import spool
from webapp.settings import Settings

#: How long an idempotency key is kept.
IDEMPOTENCY_KEPT = timedelta(hours=24)
_SAFE_CLIENT = re.compile(r"[A-Za-z0-9.\-_:\[\]]{1,253}\Z")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A submission that passed the rules, ready to be stored."""

    id: str
    now: datetime
    submission: Submission
    recipients: tuple[str, ...]
    prepared: Prepared


class _Sender(NamedTuple):
    """What the database says of a credential when its mail is stored."""

    disabled_at: datetime | None
    deleted_at: datetime | None
    expires_at: datetime | None
    verified_at: datetime | None
    vouched_at: datetime | None
    limits: SenderLimits

    @classmethod
    def read(cls, columns: Sequence[Any]) -> _Sender:
        disabled_at, deleted_at, expires_at, verified_at, vouched_at, *limits = columns
        return cls(disabled_at, deleted_at, expires_at, verified_at, vouched_at, SenderLimits.read(limits))


class Acceptance:
    """Judges and stores submissions."""

    def __init__(
        self, *, database: Database, settings: Settings, preferences: Preferences, writer: GroupCommit
    ) -> None:
        self._database = database
        self._settings = settings
        self._preferences = preferences
        self._writer = writer

    def check_sender(self, credential: Credential, envelope_from: str) -> int:
        """Judge MAIL FROM; reads the database. Return how many recipients the message may have.

        Quotas are judged when the message is stored: until then it may turn out to be a repeat, which doesn't count.
        Raise `Refused`: SENDER_…, DOMAIN_UNVERIFIED, CREDENTIAL_REVOKED, STORAGE.
        """
        _check_envelope(credential, envelope_from)
        try:
            with self._database.session() as session:
                limits = self._check_credential(session, credential, utcnow())
        except UNAVAILABLE:
            raise Refused(Reason.STORAGE, cause="database_unavailable") from None
        return limits.most_recipients(self._settings.max_recipients)

    def check_recipient(self, address: str, *, smtputf8: bool) -> str:
        """Judge one recipient and return it normalised. Raise ``Refused(RECIPIENT_INVALID)`` or NEEDS_SMTPUTF8."""
        if not smtputf8 and not address.isascii():
            raise Refused(Reason.NEEDS_SMTPUTF8)
        try:
            return parse_address(address, smtputf8=smtputf8)
        except AddressError as error:
            raise Refused(Reason.RECIPIENT_INVALID, field="to", address=address, problem=error) from None

    def submit(self, submission: Submission) -> Future[Accepted]:
        """Judge *submission* now, and queue it to be stored.

        Raise `Refused` for what its own text shows. The future resolves once the message is on disk, or raises
        `Refused` for what the database knows: STORAGE, DOMAIN_UNVERIFIED, CREDENTIAL_REVOKED, IDEMPOTENCY_REUSED,
        TOO_MANY_RECIPIENTS, QUOTA.
        """
        judged = self._judge(submission)
        return self._writer.submit(lambda session: self._store(session, judged))

    def _judge(self, submission: Submission) -> _Judged:
        limit = self._settings.max_message_bytes
        if len(submission.source) > limit:
            raise Refused(Reason.TOO_LARGE, limit_mb=self._settings.max_message_mb)
        if not submission.recipients:
            raise Refused(Reason.NO_RECIPIENTS, field="to")
        _check_envelope(submission.credential, submission.envelope_from)
        recipients = tuple(
            dict.fromkeys(self.check_recipient(r, smtputf8=submission.smtputf8) for r in submission.recipients)
        )
        if len(recipients) > self._settings.max_recipients:
            raise Refused(Reason.TOO_MANY_RECIPIENTS, field="to", limit=self._settings.max_recipients)
        now = utcnow()
        new_id = new_message_id(now)
        prepared = prepare(
            submission.source,
            domain=submission.credential.domain,
            received=self._received(submission.peer, new_id, now),
            message_id_host=submission.credential.domain,
            now=now,
            new_id=new_id,
            smtputf8=submission.smtputf8,
        )
        return _Judged(new_id, now, _with_controls(submission, prepared), recipients, prepared)

    def _received(self, peer: Peer, new_id: str, now: datetime) -> str:
        """The value of our Received header (RFC 5321 section 4.4), unfolded."""
        address = f"[IPv6:{peer.ip}]" if ":" in peer.ip else f"[{peer.ip}]"
        client = peer.client if peer.door == "smtp" and _SAFE_CLIENT.match(peer.client) else "unknown"
        origin = f"{client} ({address})" if client != address else address
        host = self._settings.hostname
        return f"from {origin} by {host} with {peer.protocol or 'HTTP'} id {new_id}; {format_datetime(now)}"

    def _check_credential(self, session: Session, credential: Credential, now: datetime) -> SenderLimits:
        sender = session.execute(
            select(
                CredentialRow.disabled_at,
                CredentialRow.deleted_at,
                CredentialRow.expires_at,
                Domain.verified_at,
                Domain.vouched_at,
                *LIMIT_COLUMNS,
            )
            .join(Domain, Domain.id == CredentialRow.domain_id)
            .where(CredentialRow.id == credential.id)
        ).one_or_none()
        state = _Sender.read(sender) if sender else None
        if (
            state is None
            or state.disabled_at
            or state.deleted_at
            or (state.expires_at is not None and state.expires_at <= now)
        ):
            raise Refused(Reason.CREDENTIAL_REVOKED)
        leaves = self._preferences.current().delivery != "capture"
        if leaves and not (state.verified_at or state.vouched_at):
            raise Refused(Reason.DOMAIN_UNVERIFIED, field="from", domain=credential.domain)
        return state.limits

    def _store(self, session: Session, judged: _Judged) -> Accepted:
        submission, now = judged.submission, judged.now
        limits = self._check_credential(session, submission.credential, now)
        digest = submission.idempotency_digest or _digest(judged)
        if submission.idempotency_key:
            earlier = _earlier(session, submission, digest, now)
            if earlier:
                return earlier
        most = limits.most_recipients(self._settings.max_recipients)
        if len(judged.recipients) > most:
            raise Refused(Reason.TOO_MANY_RECIPIENTS, field="to", limit=most)
        quotas.take(session, submission.credential, limits, now)
        captured = self._preferences.current().delivery == "capture"
        status = Status.SCHEDULED if submission.send_at else Status.QUEUED
        row = _message_row(judged, captured=captured, status=status)
        due_at = submission.send_at or now
        spool(
            session,
            row,
            judged.prepared.source,
            judged.recipients,
            due_at=due_at,
            now=now,
            links=submission.links,
        )
        if submission.idempotency_key:
            session.execute(
                insert(IdempotencyKey),
                [
                    {
                        "credential_id": submission.credential.id,
                        "key": submission.idempotency_key,
                        "digest": digest,
                        "message_id": judged.id,
                        "created_at": now,
                    }
                ],
            )
        return Accepted(
            id=judged.id,
            status=status,
            domain=submission.credential.domain,
            from_email=judged.prepared.from_email,
            recipients=judged.recipients,
            created_at=now,
        )


def _message_row(judged: _Judged, *, captured: bool, status: str) -> dict[str, object]:
    submission, prepared = judged.submission, judged.prepared
    return {
        "id": judged.id,
        "domain_id": submission.credential.domain_id,
        "credential_id": submission.credential.id,
        "status": status,
        "captured": captured,
        "door": submission.peer.door,
        "client_ip": submission.peer.ip,
        "client": printable(submission.peer.client, 255),
        "envelope_from": submission.envelope_from,
        "from_email": prepared.from_email,
        "subject": prepared.subject,
        "message_id": prepared.message_id,
        "tag": submission.tag,
        "metadata": dict(submission.metadata),
        "size": len(prepared.source),
        "eight_bit": prepared.eight_bit,
        "smtputf8": prepared.utf8_headers
        or not all(address.isascii() for address in (submission.envelope_from, *judged.recipients)),
        "send_at": submission.send_at,
        "created_at": judged.now,
    }


def _check_envelope(credential: Credential, envelope_from: str) -> None:
    """The envelope sender must be in exactly the credential's domain; the null sender is in none."""
    if not envelope_from:
        raise Refused(Reason.SENDER_NOT_ALLOWED, field="from", cause="null_sender", domain=credential.domain)
    try:
        address = parse_address(envelope_from)
    except AddressError as error:
        raise Refused(Reason.SENDER_INVALID, field="from", address=envelope_from, problem=error) from None
    if domain_name(domain_of(address)) != credential.domain:
        raise Refused(Reason.SENDER_NOT_ALLOWED, field="from", domain=credential.domain)


def _with_controls(submission: Submission, prepared: Prepared) -> Submission:
    """Take the X-Postlatch headers for what the door had no other field for."""
    controls = prepared.controls
    return replace(
        submission,
        tag=submission.tag or controls.tag,
        metadata=submission.metadata or controls.metadata,
        send_at=submission.send_at or controls.send_at,
        idempotency_key=submission.idempotency_key or controls.idempotency_key,
    )


def _digest(judged: _Judged) -> bytes:
    """Stands for an SMTP submission: the envelope and the message as the client wrote it."""
    submission = judged.submission
    digest = sha256("\0".join((submission.envelope_from, *judged.recipients)).encode())
    digest.update(submission.source)
    return digest.digest()


def _earlier(session: Session, submission: Submission, digest: bytes, now: datetime) -> Accepted | None:
    """What the same idempotency key brought before, if it is still kept. Raise ``Refused(IDEMPOTENCY_REUSED)``."""
    mine = (IdempotencyKey.credential_id == submission.credential.id) & (
        IdempotencyKey.key == submission.idempotency_key
    )
    known = session.scalar(select(IdempotencyKey).where(mine))
    if known is None:
        return None
    if known.created_at <= now - IDEMPOTENCY_KEPT:
        session.execute(delete(IdempotencyKey).where(mine))
        return None
    if known.digest != digest:
        raise Refused(Reason.IDEMPOTENCY_REUSED, field="idempotency_key")
    message = session.get_one(Message, known.message_id)
    return Accepted(
        id=message.id,
        status=Status.SCHEDULED if message.send_at else Status.QUEUED,
        domain=submission.credential.domain,
        from_email=message.from_email,
        recipients=tuple(delivery.recipient for delivery in message.deliveries),
        created_at=message.created_at,
        repeated=True,
    )
