"""What every door calls, gathered in one object that a process builds once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import utcnow
from webapp.core.rules.blocklists import Finding, Rules
from webapp.core.rules.delivery_report import Report
from webapp.core.rules.quotas import Allowance
from webapp.core.rules.refusals import Refused
from webapp.core.rules.submission import Accepted, Credential, Peer, Submission
from webapp.core.services import heartbeats, quotas
from webapp.core.services.acceptance import Acceptance
from webapp.core.services.authenticate import Authenticator
from webapp.core.services.blocklists import Blocklists
from webapp.core.services.dkim import Signing
from webapp.core.services.familiar import Familiar
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.locks import Locks
from webapp.core.services.preferences import Preferences
from webapp.core.services.refusal_log import RefusalLog
from webapp.core.services.return_paths import ReturnPath, ReturnPaths
from webapp.core.services.returned import take_report
from webapp.core.services.uses import Uses
from webapp.core.services.vault import Vault
from webapp.settings import Settings

#: Log entries that may wait for the database; more are dropped.
LOG_BACKLOG = 5_000
#: How long log entries gather, in seconds: each write keeps mail waiting for the disk.
LOG_PACE = 0.1
#: Failures that share a transaction: each takes a dozen queries, and mail waits for the write lock meanwhile.
VERDICTS_AT_ONCE = 8


class Gateway:
    """The services of one process.

    `spool` carries mail, `verdicts` failed and first log-ins, `ledger` logs: none waits for another.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vault = Vault.open(settings.data_dir)
        self.signing = Signing(self.vault)
        self.database = Database(settings.sqlalchemy_url)
        self.spool = GroupCommit(self.database, name="spool")
        self.verdicts = GroupCommit(self.database, name="verdicts", longest_batch=VERDICTS_AT_ONCE)
        self.ledger = GroupCommit(self.database, name="ledger", backlog=LOG_BACKLOG, pace=LOG_PACE)
        self.preferences = Preferences(self.database, settings, self.vault)
        self.locks = Locks(settings.trusted_proxies)
        self.refusals = RefusalLog(self.ledger)
        self.blocklists = Blocklists(
            database=self.database, settings=settings, preferences=self.preferences, writer=self.ledger
        )
        self.familiar = Familiar(self.database)
        self.authenticator = Authenticator(
            database=self.database,
            preferences=self.preferences,
            locks=self.locks,
            vault=self.vault,
            writer=self.verdicts,
            uses=Uses(self.ledger),
            familiar=self.familiar,
        )
        #: Where reports on mail come back to; None unless this server listens for them.
        self.return_paths = ReturnPaths(self.vault, settings.hostname) if settings.bounce_bind else None
        self.acceptance = Acceptance(
            database=self.database, settings=settings, preferences=self.preferences, writer=self.spool
        )

    def admit(self, peer: Peer) -> None:
        """Judge a connection. Raise ``Refused(ADDRESS_LOCKED)``. Without a database it is let in: AUTH will say so."""
        try:
            self.authenticator.check_address(peer)
        except UNAVAILABLE:
            return

    def blocklist_rules(self) -> Rules:
        """See `Blocklists.rules`."""
        return self.blocklists.rules()

    def note_listed(
        self, ip: str, findings: Sequence[Finding], refused_by: Finding | None, reference: str | None
    ) -> None:
        """See `Blocklists.note`."""
        self.blocklists.note(ip, findings, refused_by, reference)

    def is_familiar(self, ip: str) -> bool:
        """Whether a log-in succeeded from *ip* in the last weeks: it goes first. Never blocks."""
        return ip in self.familiar

    def check_room(self, peer: Peer) -> None:
        """See `Authenticator.check_room`."""
        self.authenticator.check_room(peer)

    def authenticate_smtp(self, username: str, password: str, peer: Peer) -> Credential:
        """See `Authenticator.smtp_user`."""
        return self.authenticator.smtp_user(username, password, peer)

    def authenticate_key(self, key: str, peer: Peer) -> Credential:
        """See `Authenticator.api_key`."""
        return self.authenticator.api_key(key, peer)

    def check_sender(self, credential: Credential, envelope_from: str) -> int:
        """See `Acceptance.check_sender`."""
        return self.acceptance.check_sender(credential, envelope_from)

    def check_recipient(self, address: str, *, smtputf8: bool) -> str:
        """See `Acceptance.check_recipient`."""
        return self.acceptance.check_recipient(address, smtputf8=smtputf8)

    def allowances(self, credential: Credential) -> list[Allowance]:
        """What is left of each sending limit that holds for *credential*. Raise `UNAVAILABLE`."""
        with self.database.session() as session:
            return quotas.allowances(session, credential, utcnow())

    def submit(self, submission: Submission) -> Future[Accepted]:
        """See `Acceptance.submit`."""
        return self.acceptance.submit(submission)

    def take_report(self, path: ReturnPath, report: Report) -> Future[int]:
        """See `returned.take_report`; the future resolves once what changed is on disk."""
        return self.spool.submit(partial(self._take_report, path=path, report=report))

    def _take_report(self, session: Session, path: ReturnPath, report: Report) -> int:
        soft_limit = self.preferences.current().soft_bounces
        hostname = self.settings.hostname
        return take_report(session, path, report, hostname=hostname, soft_limit=soft_limit, now=utcnow())

    def refuse(
        self, refused: Refused, peer: Peer, *, credential: Credential | None = None, name: str | None = None
    ) -> None:
        """Note a refusal under its reference. Never blocks."""
        self.refusals.note(refused, peer, credential=credential, name=name)

    def heartbeat(self, process: str) -> None:
        """Say that *process* is at work, and see who is familiar. Raise `UNAVAILABLE` without a database."""
        self.familiar.refresh()
        with self.database.session() as session:
            heartbeats.beat(session, process, utcnow())

    def close(self) -> None:
        """Finish what is queued and let go of the database."""
        self.spool.close()
        self.verdicts.close()
        self.ledger.close()
        self.database.engine.dispose()
