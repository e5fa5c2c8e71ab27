"""The trace of a refusal, step by step; or, for an address and a credential, how each step stands now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import BlocklistHit, BlocklistZone, CredentialRow, Lock, Refusal
from webapp.core.rules.explanations import explain
from webapp.core.rules.networks import allowed
from webapp.core.rules.refusals import Refused
from webapp.core.rules.stages import Stage, stage_of, stages
from webapp.core.rules.submission import Peer
from webapp.core.services import quotas
from webapp.core.services.failures import Attempt
from webapp.core.services.gateway import Gateway

#: A blocklist's listing is remembered so long for an address that is asked about.
LISTED_WITHIN = timedelta(hours=24)
State = Literal["passed", "refused", "not_reached", "unknown"]


@dataclass(frozen=True, slots=True)
class Mend:
    """What puts a step right: an action of `services.mending`, or (``edit``, ``rotate``) a form to open.

    ``unlock`` and ``exempt`` are done by the pages about locks and blocklists. *role* is the least that may do it.
    """

    action: str
    label: str
    role: str = "manager"
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and how it stands."""

    stage: Stage
    state: State
    text: str
    mends: tuple[Mend, ...] = ()


def trace(session: Session, gateway: Gateway, refusal: Refusal, now: datetime) -> list[Step]:
    """The way of what was refused: what it passed, where it was refused, what it never reached.

    The step that refused has what mends it, unless that is mended by now. Empty for what is no message's way.
    """
    refused_at, way = stage_of(refusal.code, refusal.cause), stages(refusal.door)
    if refused_at not in way:
        return []
    row = session.get(CredentialRow, refusal.credential_id) if refusal.credential_id else None
    present = _Present(session, gateway, refusal.ip, row, now, name=refusal.name, door=refusal.door)
    explanation = explain(refusal.code, refusal.cause)
    steps: list[Step] = []
    for stage in way:
        if stage is refused_at:
            steps.append(_refused_step(stage, explanation.what, present, refusal))
        elif steps and steps[-1].state in {"refused", "not_reached"}:
            steps.append(Step(stage, "not_reached", "Not reached."))
        else:
            steps.append(Step(stage, "passed", "Passed."))
    return steps


def present_state(session: Session, gateway: Gateway, ip: str, row: CredentialRow, now: datetime) -> list[Step]:
    """How each step stands now for *row* used from *ip*."""
    door = "http" if row.kind == "api_key" else "smtp"
    present = _Present(session, gateway, ip, row, now, name=row.name, door=door)
    return [present.step(stage) for stage in stages(door) if stage not in {Stage.REQUESTS, Stage.STORAGE}]


def _refused_step(stage: Stage, what: str, present: _Present, refusal: Refusal) -> Step:
    now = present.step(stage)
    mends = now.mends
    if refusal.cause in {"wrong_password", "wrong_secret"} and present.row and not present.row.deleted_at:
        label = "Give it a new password" if present.row.kind == "smtp_user" else "Make a new key"
        mends = (Mend("rotate", label, fields={"kind": present.row.kind, "id": str(present.row.id)}),)
    if stage is Stage.BLOCKLISTS:  # the page has more to say of a listing
        mends = ()
    mended = stage in _JUDGED and now.state == "passed" and not mends
    return Step(stage, "refused", f"{what} {_MENDED}" if mended else what, mends)


_MENDED = "That has changed since: it would pass this step now."
#: Steps whose state now says whether the same would be refused again.
_JUDGED = {Stage.LOCKS, Stage.ALLOWED, Stage.DOMAIN, Stage.QUOTA}


class _Present:
    """What each step says now of *ip* and, where it is known, a credential."""

    def __init__(
        self,
        session: Session,
        gateway: Gateway,
        ip: str,
        row: CredentialRow | None,
        now: datetime,
        *,
        name: str,
        door: str,
    ) -> None:
        self.session, self.gateway, self.ip, self.row, self.now = session, gateway, ip, row, now
        self._name, self._door = name, door

    def step(self, stage: Stage) -> Step:
        """That step."""
        judge: dict[Stage, Callable[[], Step]] = {
            Stage.BLOCKLISTS: self._blocklists,
            Stage.LOCKS: self._locks,
            Stage.LOGIN: self._login,
            Stage.ALLOWED: self._allowed,
            Stage.DOMAIN: self._domain,
            Stage.QUOTA: self._quota,
        }
        if stage in judge:
            return judge[stage]()
        if stage is Stage.MESSAGE:
            settings = self.gateway.settings
            most = settings.max_recipients
            if self.row:
                most = quotas.SenderLimits(self.row.limits, self.row.domain.limits).most_recipients(most)
            text = f"Depends on the message: at most {settings.max_message_mb} MB and {most} recipients."
            return Step(stage, "unknown", text, self._edits())
        if stage is Stage.CONNECTION:
            return Step(stage, "unknown", "Whether the program reaches this server at all can't be seen from here.")
        return Step(stage, "unknown", "Depends on the moment.")

    def _blocklists(self) -> Step:
        stage = Stage.BLOCKLISTS
        rules = self.gateway.blocklists.read(self.session)
        if rules.exempts(self.ip):
            return Step(stage, "passed", "The address is exempt from blocklists.")
        found = self.session.execute(
            select(BlocklistHit, BlocklistZone)
            .join(BlocklistZone, BlocklistZone.id == BlocklistHit.zone_id)
            .where(BlocklistHit.ip == self.ip, BlocklistHit.refused, BlocklistHit.last_at > self.now - LISTED_WITHIN)
            .order_by(BlocklistHit.last_at.desc())
        ).first()
        if found is None:
            text = "No listing was seen in the last 24 hours." if rules.zones else "No blocklist is asked."
            return Step(stage, "passed", text)
        hit, zone = found
        text = f"Listed by {zone.zone} ({', '.join(hit.answers)}){f': {hit.reason}' if hit.reason else ''}."
        if zone.in_force != "on":
            return Step(stage, "passed", f"{text} That list only watches now.")
        return Step(stage, "refused", text, (Mend("exempt", f"Exempt {self.ip}", "owner", {"ip": self.ip}),))

    def _locks(self) -> Step:
        stage, current = Stage.LOCKS, self.gateway.preferences.read(self.session)
        kinds = {"smtp": "smtp_user", "http": "api_key", "panel": "admin"}
        kind = self.row.kind if self.row else kinds.get(self._door, "smtp_user")
        name = (self.row.name if self.row else self._name).strip().lower()
        attempt = Attempt(kind, name, Peer("smtp", self.ip))
        try:
            self.gateway.locks.check(self.session, attempt, current, self.now)
        except Refused:
            keys = attempt.keys()
            held = [
                lock
                for lock in self.session.scalars(
                    select(Lock).where(
                        Lock.subject.in_(keys.values()), Lock.locked_until > self.now, Lock.cleared_at.is_(None)
                    )
                )
                if keys.get(lock.scope) == lock.subject
            ]
            last = max(held, key=lambda lock: lock.locked_until)
            text = (
                f"Locked until {last.locked_until:%Y-%m-%d %H:%M} UTC after {last.failures} failed log-ins: "
                f"{', '.join(map(str, held))}."
            )
            mends = tuple(Mend("unlock", f"Unlock {lock}", fields={"id": str(lock.id)}) for lock in held)
            return Step(stage, "refused", text, mends)
        return Step(stage, "passed", "No lock is in the way.")

    def _login(self) -> Step:
        stage, row = Stage.LOGIN, self.row
        if row is None:
            return Step(stage, "unknown", "Which credential was meant is not known.")
        state = row.state(self.now)
        if state == "deleted":
            return Step(stage, "refused", "The credential was deleted: create a new one.")
        if state == "disabled":
            return Step(stage, "refused", "The credential is disabled.", (self._mend("enable", "Enable it"),))
        if state == "expired":
            mend = self._mend("extend", "Extend it by 90 days")
            return Step(stage, "refused", f"The credential expired on {row.expires_at:%Y-%m-%d %H:%M} UTC.", (mend,))
        secret = "password" if row.kind == "smtp_user" else "key"
        return Step(
            stage, "passed", f"It is active. Whether the program has the right {secret}, only the program knows."
        )

    def _allowed(self) -> Step:
        stage, row = Stage.ALLOWED, self.row
        if row is None:
            return Step(stage, "unknown", "Which credential was meant is not known.")
        if not row.allowed_networks:
            return Step(stage, "passed", "It may be used from any address.")
        if allowed(self.ip, row.allowed_networks):
            return Step(stage, "passed", f"{self.ip} is in its list.")
        mend = Mend("allow", f"Allow {self.ip}", fields={"credential": str(row.id), "ip": self.ip})
        return Step(stage, "refused", f"{self.ip} is not in its list of allowed addresses.", (mend,))

    def _domain(self) -> Step:
        stage, row = Stage.DOMAIN, self.row
        if row is None:
            return Step(stage, "unknown", "Which credential was meant is not known.")
        domain = row.domain
        if domain.may_send or self.gateway.preferences.read(self.session).delivery == "capture":
            return Step(stage, "passed", f"It sends for {domain.name}, from addresses at exactly that domain.")
        mend = Mend("vouch", f"Vouch for {domain.name}", "owner", {"domain": str(domain.id)})
        return Step(stage, "refused", f"{domain.name} is not verified, and nobody vouches for it.", (mend,))

    def _quota(self) -> Step:
        stage, row = Stage.QUOTA, self.row
        if row is None:
            return Step(stage, "unknown", "Which credential was meant is not known.")
        found = quotas.of_rows(self.session, [row, row.domain], self.now)
        told = [(owner, one) for (owner, _), ones in found.items() for one in ones]
        if not told:
            return Step(stage, "passed", "No limit is set.")
        text = "; ".join(
            f"{one.used} of {one.limit} messages in the last {'hour' if one.period.word == 'hour' else '24 hours'}"
            f"{f' for {row.domain.name}' if owner == 'domain' else ''}"
            for owner, one in told
        )
        reached = {owner for owner, one in told if not one.remaining}
        return Step(stage, "refused" if reached else "passed", f"{text}.", self._edits(reached) if reached else ())

    def _edits(self, owners: set[str] | None = None) -> tuple[Mend, ...]:
        """The forms where the limits of the credential and of its domain are set; with *owners* only of these."""
        if self.row is None:
            return ()
        found = []
        for owner, kind, one in (("credential", self.row.kind, self.row), ("domain", "domain", self.row.domain)):
            if owner in owners if owners is not None else one.recipients_per_message is not None:
                whose = self.row.domain.name if owner == "domain" else "this credential"
                found.append(Mend("edit", f"Change the limits of {whose}", fields={"kind": kind, "id": str(one.id)}))
        return tuple(found)

    def _mend(self, action: str, label: str) -> Mend:
        assert self.row is not None
        return Mend(action, label, fields={"credential": str(self.row.id)})
