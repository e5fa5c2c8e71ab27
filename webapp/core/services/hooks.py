"""Hooks: who is told of a domain's events. Functions that change one audit, flush, and leave the commit to the caller.

A hook listens while it is active and the API key that made it, if one did, works: disabled, expired or deleted, the
key pauses its hooks. What happens while a hook doesn't listen is not queued for it; what was queued before waits.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Domain, Hook, HookDelivery, utcnow
from webapp.core.models.hook import ACTIVE, FAILED, PAUSED, REMOVED, WAITING
from webapp.core.rules.events import EventName
from webapp.core.services import alerts, audit
from webapp.core.services.audit import SECRET, Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.vault import Vault

#: Hooks that one domain may have.
MOST_HOOKS = 100
LONGEST_URL = 2000
LONGEST_NAME = 100


def listening(now: datetime) -> ColumnElement[bool]:
    """Whether a hook is told of what happens at *now*."""
    key_works = select(CredentialRow.id).where(
        CredentialRow.id == Hook.credential_id,
        CredentialRow.disabled_at.is_(None),
        CredentialRow.deleted_at.is_(None),
        or_(CredentialRow.expires_at.is_(None), CredentialRow.expires_at > now),
    )
    return and_(Hook.state == ACTIVE, Hook.deleted_at.is_(None), or_(Hook.credential_id.is_(None), key_works.exists()))


def listeners(session: Session, domain_id: int, now: datetime) -> Sequence[tuple[int, frozenset[str]]]:
    """The hooks of a domain that listen, and to what. Read once a session: acceptance asks for each message."""
    known: dict[int, list[tuple[int, frozenset[str]]]] = session.info.setdefault("hook_listeners", {})
    if domain_id not in known:
        rows = session.execute(select(Hook.id, Hook.events).where(Hook.domain_id == domain_id, listening(now)))
        known[domain_id] = [(id_, frozenset(events)) for id_, events in rows]
    return known[domain_id]


def state_of(hook: Hook, now: datetime) -> tuple[str, datetime, str]:
    """A hook's state in a word, since when, and why: its own, or paused by its key's."""
    key = hook.credential
    if hook.state == ACTIVE and key is not None and (key_state := key.state(now)) != "active":
        since = {"disabled": key.disabled_at, "expired": key.expires_at, "deleted": key.deleted_at}[key_state]
        name = key.note or f"pl_{key.name}"
        said = {"expired": "has expired", "disabled": "is disabled", "deleted": "was deleted"}[key_state]
        return PAUSED, since or now, f"its API key ({name}) {said}"
    return hook.state, hook.state_since, hook.state_reason


def troubled(session: Session) -> Sequence[Hook]:
    """The hooks that stopped without anybody here wanting it: for those who are to look after them."""
    query = select(Hook).where(Hook.troubled, Hook.deleted_at.is_(None)).order_by(Hook.state_since.desc())
    return session.scalars(query).all()


def create(
    session: Session,
    actor: Actor,
    vault: Vault,
    *,
    domain: Domain,
    name: str,
    target_url: str,
    events: Iterable[str],
    credential_id: int | None = None,
) -> tuple[Hook, str]:
    """Make a hook whose target the caller has checked; return it and its secret. Raise `ServiceError`."""
    count = session.scalar(select(func.count()).where(Hook.domain_id == domain.id, Hook.deleted_at.is_(None)))
    if count is not None and count >= MOST_HOOKS:
        problem = f"{domain.name} has {MOST_HOOKS} webhooks already: delete some in the panel first."
        raise ServiceError(problem, field="target_url")
    secret = _new_secret()
    hook = Hook(
        domain=domain,
        credential_id=credential_id,
        name=_name(name),
        target_url=_url(target_url),
        events=_events(events),
        secret=vault.encrypt(secret),
    )
    session.add(hook)
    audit.record(
        session, actor, "create", hook, domain=domain.name, target=host_of(hook), events=hook.events, secret=SECRET
    )
    return hook, secret


def subscribe(
    session: Session,
    actor: Actor,
    vault: Vault,
    *,
    credential_id: int,
    domain: Domain,
    target_url: str,
    events: Iterable[str],
) -> tuple[Hook, str]:
    """The hook of that API key, target and events: made now, or the one that is there, with its secret.

    A program that asks again is there again: a hook that failures had paused goes on. Raise `ServiceError`.
    """
    mine = select(Hook).where(
        Hook.credential_id == credential_id, Hook.target_url == target_url, Hook.deleted_at.is_(None)
    )
    wanted = _events(events)
    for hook in session.scalars(mine):
        if hook.events == wanted and hook.state in {ACTIVE, PAUSED}:
            if hook.troubled:
                resume(session, actor, hook)
            return hook, vault.decrypt(hook.secret)
    name = urlsplit(target_url).hostname or ""
    return create(
        session,
        actor,
        vault,
        domain=domain,
        name=name[:LONGEST_NAME],
        target_url=target_url,
        events=wanted,
        credential_id=credential_id,
    )


def unsubscribe(session: Session, actor: Actor, *, hook_id: int, credential_id: int) -> None:
    """Delete the hook if that API key made it and it is still there."""
    mine = select(Hook).where(Hook.id == hook_id, Hook.credential_id == credential_id, Hook.deleted_at.is_(None))
    if hook := session.scalar(mine):
        delete(session, actor, hook)


def change(session: Session, actor: Actor, hook: Hook, *, name: str, target_url: str, events: Iterable[str]) -> None:
    """Change what a person may change. Raise `ServiceError` naming the field."""
    before = (hook.name, host_of(hook), hook.target_url, hook.events)
    hook.name, hook.target_url, hook.events = _name(name), _url(target_url), _events(events)
    after = (hook.name, host_of(hook), hook.target_url, hook.events)
    if before != after:
        fields = zip(("name", "target", "address", "events"), before, after, strict=True)
        changes = {f: SECRET if f == "address" else [old, new] for f, old, new in fields if old != new}
        audit.record(session, actor, "change", hook, **changes)


def pause(session: Session, actor: Actor, hook: Hook) -> None:
    """Stop telling it, because a person wants so."""
    if hook.state == ACTIVE:
        hook.state, hook.state_since, hook.state_reason = PAUSED, utcnow(), f"{actor.name} paused it"
        audit.record(session, actor, "pause", hook)


def resume(session: Session, actor: Actor, hook: Hook) -> None:
    """Tell it again, first of all what still waits. A removed one gets another chance, too."""
    if hook.state != ACTIVE:
        now = utcnow()
        hook.state, hook.state_since, hook.state_reason, hook.troubled = ACTIVE, now, "", False
        session.execute(
            update(HookDelivery)
            .where(HookDelivery.hook_id == hook.id, HookDelivery.due_at.is_not(None), HookDelivery.lease.is_(None))
            .values(due_at=now)
        )
        audit.record(session, actor, "resume", hook)
        _ring(session, now)


def rotate(session: Session, actor: Actor, vault: Vault, hook: Hook, *, grace: timedelta) -> str:
    """Give it a new secret, returned to be shown once. Until *grace* has passed both sign (Standard Webhooks)."""
    hook.old_secret, hook.old_secret_until = (hook.secret, utcnow() + grace) if grace > timedelta(0) else (None, None)
    secret = _new_secret()
    hook.secret = vault.encrypt(secret)
    audit.record(session, actor, "rotate", hook, secret=SECRET, grace_seconds=round(grace.total_seconds()))
    return secret


def delete(session: Session, actor: Actor, hook: Hook) -> None:
    """Delete it. Housekeeping clears what it was told."""
    hook.deleted_at, hook.troubled = utcnow(), False
    hook.secret = ""
    hook.old_secret = hook.old_secret_until = None
    audit.record(session, actor, "delete", hook)
    _ring(session, hook.deleted_at)


def delete_all(session: Session, actor: Actor, domain: Domain) -> None:
    """Delete all of a domain that is deleted itself."""
    for hook in session.scalars(select(Hook).where(Hook.domain_id == domain.id, Hook.deleted_at.is_(None))):
        delete(session, actor, hook)


def stop(session: Session, hook_ids: Collection[int], *, state: str, reason: str, now: datetime) -> None:
    """Pause or remove hooks because of what their receivers did. They ring the bell."""
    session.execute(
        update(Hook)
        .where(Hook.id.in_(hook_ids), Hook.state == ACTIVE)
        .values(state=state, state_since=now, state_reason=reason, troubled=True)
    )
    _ring(session, now)


def try_by_hand(session: Session, actor: Actor, delivery: HookDelivery) -> None:
    """Send it once more, at once, whatever became of it, also to a paused hook. Raise `ServiceError`."""
    if delivery.lease is not None:
        raise ServiceError("It is being sent right now.")
    delivery.status, delivery.due_at, delivery.by_hand = WAITING, utcnow(), True
    audit.record(session, actor, "send_again", delivery.hook, delivery=delivery.id)


def send_test(session: Session, actor: Actor, hook: Hook, sample: dict[str, object]) -> HookDelivery:
    """Queue *sample* for it, also while it is paused. Return what the page looks at."""
    delivery = HookDelivery(hook_id=hook.id, sample=sample, by_hand=True, due_at=utcnow())
    session.add(delivery)
    audit.record(session, actor, "test", hook)
    return delivery


def give_up_waiting(session: Session, hook_id: int) -> None:
    """End all that waits for a hook that is gone."""
    session.execute(
        update(HookDelivery)
        .where(HookDelivery.hook_id == hook_id, HookDelivery.due_at.is_not(None), HookDelivery.lease.is_(None))
        .values(status=FAILED, due_at=None)
    )


def host_of(hook: Hook) -> str:
    """The target's host: its whole address is a key to somebody's mailbox of events, and stays out of logs."""
    return urlsplit(hook.target_url).hostname or ""


def _ring(session: Session, now: datetime) -> None:
    """Bring the bell up to date: it rings for the hooks that stopped without anybody wanting it."""
    stopped = troubled(session)
    for hook in stopped:
        said = "is told no more" if hook.state == REMOVED else "is paused"
        text = f"The webhook {hook.name} of {hook.domain.name} {said}, because {hook.state_reason}"
        alerts.holds(session, "webhook", str(hook.id), text, now, domain_id=hook.domain_id)
    alerts.ended(session, "webhook", now, still=[str(hook.id) for hook in stopped])


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ServiceError(f"Give it a name of at most {LONGEST_NAME} characters.", field="name")
    return name


def _url(text: str) -> str:
    if len(text) > LONGEST_URL:
        raise ServiceError(f"The address is too long: at most {LONGEST_URL} characters.", field="target_url")
    return text


def _events(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    if unknown := wanted - set(EventName):
        raise ServiceError(f"There is no event {sorted(unknown)[0][:40]}.", field="events")
    if not wanted:
        raise ServiceError("Choose at least one event.", field="events")
    return [name.value for name in EventName if name in wanted]
