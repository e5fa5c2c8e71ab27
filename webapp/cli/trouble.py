"""``flask lockout``, ``flask why``, ``flask doctor``: when something does not go through."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.app import gateway_of
from webapp.cli.answer import Answer, command, session
from webapp.core.models import CredentialRow, Lock, Refusal, utcnow
from webapp.core.rules.explanations import explain
from webapp.core.services import locks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.errors import ServiceError
from webapp.core.services.trace import present_state, trace
from webapp.core.services.why import why
from webapp.doctor import examine

_MARKS = {"passed": "ok  ", "refused": "STOP", "not_reached": "-   ", "unknown": "?   "}

lockout = click.Group("lockout", help="Locks after failed attempts.")


@command(lockout, "list", help="List the locks that hold now.")
def list_locks() -> Answer:
    """List the locks that hold now."""
    with session() as opened:
        held = [_told(lock) for lock in locks.in_force(opened, utcnow())]
    lines = [f"{one['scope']}  {one['subject']}  until {one['until']}  {one['failures']} failures" for one in held]
    return Answer({"data": held}, lines or ["Nothing is locked."])


@command(lockout, "clear", help="Clear locks.")
@click.option("--ip", help="The locks of this address, and of log-ins from it.")
@click.option(
    "--username", help="The locks of this SMTP user or person, and of the addresses that failed under the name."
)
@click.option("--all", "everything", is_flag=True, help="All locks.")
def clear_locks(ip: str | None, username: str | None, everything: bool) -> Answer:
    """Clear locks."""
    if sum((ip is not None, username is not None, everything)) != 1:
        raise ServiceError("Say what to clear: --ip, --username or --all.")
    with session() as opened:
        try:
            cleared = locks.clear(opened, COMMAND_LINE, utcnow(), ip=ip, name=username)
        except ValueError:
            raise ServiceError(f"{ip} is not an IP address.") from None
    return Answer({"cleared": cleared}, [f"{cleared} cleared."])


@command(name="why", help="Say why something was refused: give the reference from the error, or an IP address.")
@click.argument("reference_or_ip")
@click.option("--credential", "name", help="With an address: the SMTP user, or the key's public id, that uses it.")
def explain_refusal(reference_or_ip: str, name: str | None) -> Answer:
    """Explain a refusal."""
    with session() as opened:
        row = _credential(opened, name) if name else None
        found = why(opened, reference_or_ip, utcnow())
        if found is None:
            raise ServiceError("Give the reference from the error, such as ABCDEFGHJK, or an IP address.")
        if found.ip is None:
            raise ServiceError(f"Nothing is known of {reference_or_ip}: it is mistyped, or no longer kept.")
        held = [_told(lock) for lock in found.locks]
        refusals = [_explained(refusal) for refusal in ([found.refusal] if found.refusal else found.recent)]
        if found.refusal:
            steps = trace(opened, gateway_of(), found.refusal, utcnow())
        else:
            steps = present_state(opened, gateway_of(), found.ip, row, utcnow()) if row else []
    lines = [line for one in refusals for line in _lines(one)]
    lines += [f"  {_MARKS[step.state]} {step.stage.value}: {step.text}" for step in steps]
    for one in held:
        how = f"--username {one['username']}" if one["scope"] == "credential" else f"--ip {found.ip}"
        lines.append(f"{one['subject']} is locked until {one['until']}. To clear it: flask lockout clear {how}")
    if not held and not refusals:
        lines.append(f"Nothing from {found.ip} was refused lately, and it is not locked.")
    told = [{"step": step.stage.name.lower(), "state": step.state, "text": step.text} for step in steps]
    return Answer({"ip": found.ip, "locks": held, "refusals": refusals, "steps": told}, lines)


@command(name="doctor", help="Check settings, DNS, blocklists, certificate, database, ports and queue.")
def doctor() -> Answer:
    """Check what is needed to work."""
    findings = examine(gateway_of())
    marks = {"ok": "ok  ", "warning": "warn", "error": "FAIL"}
    return Answer(
        {"data": [finding._asdict() for finding in findings]},
        [f"{marks[finding.state]}  {finding.part}: {finding.text}" for finding in findings],
        failed=any(finding.state == "error" for finding in findings),
    )


def _told(lock: Lock) -> dict[str, object]:
    return {
        "scope": lock.scope,
        "subject": str(lock),
        "kind": lock.kind,
        "username": lock.login,
        "address": lock.address,
        "failures": lock.failures,
        "since": lock.locked_at.isoformat(timespec="seconds"),
        "until": lock.locked_until.isoformat(timespec="seconds"),
    }


def _credential(opened: Session, name: str) -> CredentialRow:
    """The SMTP user or API key of that name."""
    wanted = name.strip().removeprefix("pl_").lower()
    row = opened.scalar(
        select(CredentialRow).where(CredentialRow.name == wanted, CredentialRow.deleted_at.is_(None)).limit(1)
    )
    if row is None:
        raise ServiceError("There is no SMTP user or API key of that name.")
    return row


def _explained(refusal: Refusal) -> dict[str, Any]:
    explanation = explain(refusal.code, refusal.cause)
    return {
        "reference": refusal.reference,
        "at": refusal.at.isoformat(timespec="seconds"),
        "door": refusal.door,
        "ip": refusal.ip,
        "client": refusal.client,
        "name": refusal.name,
        "code": refusal.code,
        "cause": refusal.cause,
        "told": refusal.text,
        "what": explanation.what,
        "to_do": explanation.to_do,
        "trace": refusal.trace,
    }


def _lines(one: dict[str, Any]) -> list[str]:
    who = f" as {one['name']}" if one["name"] else ""
    return [
        f"{one['reference']}  {one['at']}  {one['door']}, from {one['ip']}{who}",
        f"  It was told: {one['told']}",
        f"  {one['what']}",
        f"  {one['to_do']}",
        *(f"  {name}: {value}" for name, value in one["trace"].items()),
    ]
