"""Looks a domain's records up in the DNS, and notes what that means.

Only a definite answer counts: after a time-out or SERVFAIL what was found before stands. A look holds no session
while it waits for the DNS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import DkimKey, Domain, DomainCheck, utcnow
from webapp.core.rules import domain_records as rules
from webapp.core.rules.domain_records import Found, Light, Wanted
from webapp.core.rules.refusals import printable
from webapp.core.rules.spf import Lookup
from webapp.core.services import alerts, dkim, domains, return_paths
from webapp.core.services.audit import Actor
from webapp.core.services.gateway import Gateway
from webapp.core.services.preferences import Current
from webapp.net import zones
from webapp.net.resolver import LookupFailed

#: How often a domain is looked at.
EVERY = timedelta(hours=1)
#: The worker, in the audit log.
WORKER = Actor("hourly check")

#: What is kept of the texts at one name.
_MOST_TEXTS, _LONGEST = 10, 1000


@dataclass(frozen=True, slots=True)
class Record:
    """A record as people see it: what is wanted, what was found, and the key that it belongs to."""

    wanted: Wanted
    found: Found
    key: DkimKey | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A domain and all its records. `server` is the name that must be in its SPF record, unless a relay sends."""

    domain: Domain
    records: Sequence[Record]
    light: Light
    zone: str
    host: str
    server: str | None

    @property
    def open(self) -> list[Record]:
        """What still has to be put right."""
        return [one for one in self.records if one.wanted.counts and one.found.state in {"missing", "differs"}]


def report(session: Session, gateway: Gateway, domain: Domain) -> Report:
    """*domain* as it stood at the last look."""
    check = session.get(DomainCheck, domain.id)
    findings = check.findings if check else {}
    server = sending_server(gateway, gateway.preferences.current(), domain.id)
    keys = {f"dkim:{key.selector}": key for key in dkim.published(session, domain.id)}
    records = []
    for wanted in _wanted(session, domain, server, returns=gateway.return_paths is not None):
        found = Found.of_json(findings.get(wanted.key))
        value = found.value if wanted.key == "spf" and found.value else wanted.value
        records.append(Record(replace(wanted, value=value), found, keys.get(wanted.key)))
    light = rules.traffic_light(
        may_send=domain.may_send,
        proof_lost=domain.lost_at is not None and domain.vouched_at is None,
        checked=check is not None,
        states=[one.found.state for one in records if one.wanted.counts and one.wanted.key != "ownership"],
    )
    return Report(domain, records, light, check.zone if check else "", check.host if check else "", server)


def sending_server(gateway: Gateway, current: Current, domain_id: int) -> str | None:
    """The name of the server that hands the domain's mail to the recipients' servers, if that is this one."""
    if (
        domain_id in current.domain_relays
        or current.delivery == "relay"
        or (current.delivery == "capture" and current.relay)
    ):
        return None
    return gateway.settings.hostname.lower()


def check(gateway: Gateway, domain_id: int, actor: Actor) -> None:
    """Look for everything that *domain_id* should have, and note it. Raise `LookupFailed` when nothing was answered."""
    with gateway.database.session() as session:
        domain = session.get_one(Domain, domain_id)
        dkim.ensure(session, gateway.vault, domain)
        server = sending_server(gateway, gateway.preferences.current(), domain.id)
        wanted = _wanted(session, domain, server, returns=gateway.return_paths is not None)
    lookup = partial(_lookup, gateway)
    found: dict[str, Found] = {}
    failure: LookupFailed | None = None
    for one in wanted:
        try:
            found[one.key] = _short(_look(one, domain.name, server, lookup))
        except LookupFailed as error:
            failure = error
            if one.key == "ownership":
                break  # the rest would keep us waiting, too
    where = zones.zone_of(domain.name, gateway.settings.dns) if found else ("", "")
    with gateway.database.session() as session:
        domain = session.get_one(Domain, domain_id)
        _note(session, actor, domain, keys=[one.key for one in wanted], found=found, where=where)
    if not found and failure:
        raise failure


def due(session: Session, now: datetime) -> int | None:
    """The id of the domain that waits longest for its look, None when none is due."""
    waits = Domain.checked_at.is_(None) | (Domain.checked_at <= now - EVERY)
    query = select(Domain.id).where(Domain.deleted_at.is_(None), waits)
    return session.scalar(query.order_by(Domain.checked_at.nulls_first(), Domain.id).limit(1))


def check_due(gateway: Gateway) -> None:
    """Look at one domain, if one is due: what the worker calls every few seconds."""
    with gateway.database.session() as session:
        domain_id = due(session, utcnow())
    if domain_id is not None:
        try:
            check(gateway, domain_id, WORKER)
        except LookupFailed:
            return  # noted, and tried again when it is due


def _wanted(session: Session, domain: Domain, server: str | None, *, returns: bool) -> list[Wanted]:
    """What *domain* should have. *returns*: whether mail leaves from addresses to which returned mail comes."""
    name, value = domains.ownership_record(domain)
    records = [Wanted("ownership", "Ownership", name, value, counts=domain.vouched_at is None)]
    mechanism = f"v=spf1 a:{server} ~all" if server else ""
    records.append(Wanted("spf", "SPF", domain.name, mechanism))
    keys = dkim.published(session, domain.id)
    signing = any(key.signs for key in keys)
    for key in keys:
        name, value = dkim.record(key, domain.name)
        # One that waits while another signs is no fault, nor is one that has been replaced.
        counts = key.signs or (key.signs_since is None and not signing)
        records.append(Wanted(f"dkim:{key.selector}", "DKIM", name, value, counts))
    records.append(Wanted("dmarc", "DMARC", f"_dmarc.{domain.name}", rules.DMARC_VALUE))
    if returns and server:
        alias = return_paths.own_host(domain.name)
        records.append(Wanted(return_paths.RECORD, "Return path", alias, server, counts=False, type="CNAME"))
    return records


def _lookup(gateway: Gateway, name: str, type_: str) -> list[str]:
    return zones.records(name, type_, gateway.settings.dns)


def _look(wanted: Wanted, domain: str, server: str | None, lookup: Lookup) -> Found:
    texts = lookup(wanted.name, wanted.type)
    match wanted.title:
        case "Ownership":
            return rules.judge_ownership(wanted.value, texts)
        case "DKIM":
            return rules.judge_dkim(wanted.value, texts)
        case "DMARC":
            parent = "" if texts else _dmarc_parent(domain, lookup)
            return rules.judge_dmarc(texts or lookup(f"_dmarc.{parent}", "TXT") if parent else texts, parent)
        case "Return path":
            return rules.judge_return_path(wanted.value, texts)
        case _:
            addresses = _addresses(server, lookup) if server else []
            return rules.judge_spf(domain, texts, server=server, addresses=addresses, lookup=lookup)


def _short(found: Found) -> Found:
    """Without what a stranger's DNS server could fill pages with."""
    return replace(found, texts=tuple(printable(text, _LONGEST) for text in found.texts[:_MOST_TEXTS]))


def _dmarc_parent(domain: str, lookup: Lookup) -> str:
    """The nearest parent with a policy, or an empty string. Top-level domains are not asked."""
    labels = domain.split(".")
    for cut in range(1, len(labels) - 1):
        parent = ".".join(labels[cut:])
        if any(text.startswith("v=DMARC1") for text in lookup(f"_dmarc.{parent}", "TXT")):
            return parent
    return ""


def _addresses(server: str, lookup: Lookup) -> list[IPv4Address | IPv6Address]:
    return [ip_address(text) for kind in ("A", "AAAA") for text in lookup(server, kind)]


def _note(
    session: Session,
    actor: Actor,
    domain: Domain,
    *,
    keys: Sequence[str],
    found: dict[str, Found],
    where: tuple[str, str],
) -> None:
    """Write down what was *found* of *keys*; what was asked in vain keeps its earlier finding."""
    now = utcnow()
    check = session.get(DomainCheck, domain.id)
    if check is None:
        check = DomainCheck(domain_id=domain.id, findings={}, zone="", host="")
        session.add(check)
    earlier = {key: Found.of_json(check.findings.get(key)) for key in keys}
    findings = {key: found.get(key) or replace(earlier[key], asked_in_vain=True) for key in keys}
    check.findings = {key: one.to_json() for key, one in findings.items()}
    check.checked_at, domain.checked_at = now, now
    if where[0]:
        check.zone, check.host = where
    if proof := found.get("ownership"):
        domains.note_proof(session, actor, domain, found=proof.state == "ok")
    for key in dkim.published(session, domain.id):
        finding = found.get(f"dkim:{key.selector}")
        if finding and finding.state == "ok" and key.signs_since is None:
            dkim.activate(session, actor, domain, key)
    dkim.retire_old(session, actor, domain, now)
    _ring(session, domain, findings, earlier, now)


def _ring(
    session: Session, domain: Domain, findings: dict[str, Found], earlier: dict[str, Found], now: datetime
) -> None:
    """Ring the bell for what was there and is there no more, until it is there again.

    Without its return path a domain's mail leaves from this server's name, which is no fault.
    """
    findings = {key: one for key, one in findings.items() if key != return_paths.RECORD}
    if domain.lost_at and not domain.vouched_at:
        until = domain.lost_at + domains.GRACE
        text = f"{domain.name}'s ownership record is gone from the DNS: its mail stops on {until:%Y-%m-%d %H:%M} UTC."
    else:
        broken = [
            key.partition(":")[0].upper()
            for key, one in findings.items()
            if key != "ownership" and one.state in {"missing", "differs"} and earlier[key].state == "ok"
        ]
        if not broken:
            if all(one.state == "ok" for one in findings.values()):
                alerts.over(session, "domain", domain.name, now)
            return
        text = f"{domain.name}'s {' and '.join(broken)} record is no longer as it should be."
    alerts.holds(session, "domain", domain.name, text, now, domain_id=domain.id)
