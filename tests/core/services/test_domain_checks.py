"""Looks at a domain's records against a real DNS server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.support.dns_server import DnsServer
from tests.support.factories import OFFICE, PASSWORD, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import Alert, AuditEntry, DkimKey, Domain, DomainCheck, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import dkim, domain_checks, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.domain_checks import Report
from webapp.core.services.gateway import Gateway
from webapp.net.resolver import LookupFailed

MAIL = "mail.postlatch.test"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.records[MAIL, "A"] = ["192.0.2.25"]
        yield server


@pytest.fixture
def gateway(make_app: Callable[..., Flask], dns: DnsServer) -> Gateway:
    made = gateway_of(make_app(delivery="mx", dns=dns.address))
    make_domain(made)
    return made


def look(gateway: Gateway) -> Report:
    domain_checks.check(gateway, 1, COMMAND_LINE)
    return report(gateway)


def report(gateway: Gateway) -> Report:
    with gateway.database.session() as session:
        return domain_checks.report(session, gateway, session.get_one(Domain, 1))


def states(found: Report) -> dict[str, str]:
    return {one.wanted.title: one.found.state for one in found.records}


def publish(dns: DnsServer, found: Report) -> None:
    """Do what the page says."""
    for one in found.records:
        dns.txt[one.wanted.name] = [one.wanted.value]


def alerts(gateway: Gateway) -> list[str]:
    with gateway.database.session() as session:
        return list(session.scalars(select(Alert.text).where(Alert.ended_at.is_(None))))


def test_from_nothing_to_green(gateway: Gateway, dns: DnsServer) -> None:
    assert report(gateway).light == "grey"
    first = look(gateway)
    assert first.light == "red"
    assert states(first) == dict.fromkeys(("Ownership", "SPF", "DKIM", "DMARC"), "missing")
    publish(dns, first)
    second = look(gateway)
    assert second.light == "green"
    assert second.domain.verified_at
    (key,) = [one.key for one in second.records if one.key]
    assert key.signs, "its record was found"
    assert alerts(gateway) == []


def test_no_answer_changes_nothing(gateway: Gateway, dns: DnsServer) -> None:
    publish(dns, look(gateway))
    look(gateway)
    dns.failing |= {"example.com", "_dmarc.example.com"}
    again = look(gateway)
    assert again.light == "green"
    assert [one.wanted.title for one in again.records if one.found.asked_in_vain] == ["SPF", "DMARC"]
    dns.failing.add("_postlatch.example.com")
    with pytest.raises(LookupFailed):
        look(gateway)
    assert report(gateway).light == "green"
    with gateway.database.session() as session:
        domain = session.get_one(Domain, 1)
        assert domain.verified_at
        assert domain.lost_at is None


def test_a_lost_proof_warns_at_once_and_stops_mail_after_the_grace_period(gateway: Gateway, dns: DnsServer) -> None:
    publish(dns, look(gateway))
    look(gateway)
    del dns.txt["_postlatch.example.com"]
    lost = look(gateway)
    assert lost.light == "yellow"
    assert lost.domain.may_send
    assert "ownership record is gone" in alerts(gateway)[0]
    assert len(alerts(gateway)) == 1
    with gateway.database.session() as session:
        session.execute(update(Domain).values(lost_at=utcnow() - domains.GRACE + timedelta(minutes=1)))
    assert look(gateway).light == "yellow"
    with gateway.database.session() as session:
        session.execute(update(Domain).values(lost_at=utcnow() - domains.GRACE))
    dns.failing.add("_postlatch.example.com")
    with pytest.raises(LookupFailed):
        look(gateway)
    assert report(gateway).domain.may_send, "only a definite answer stops mail"
    dns.failing.clear()
    stopped = look(gateway)
    assert (stopped.light, stopped.domain.may_send) == ("red", False)
    with gateway.database.session() as session:
        assert list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))[-1] == "unverify"
    make_smtp_user(gateway)
    credential = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    with pytest.raises(Refused) as refused:
        gateway.check_sender(credential, "shop@example.com")
    assert refused.value.reason == Reason.DOMAIN_UNVERIFIED


def test_a_proof_that_is_back_in_time_ends_the_warning(gateway: Gateway, dns: DnsServer) -> None:
    first = look(gateway)
    publish(dns, first)
    look(gateway)
    kept = dns.txt.pop("_postlatch.example.com")
    look(gateway)
    dns.txt["_postlatch.example.com"] = kept
    assert look(gateway).light == "green"
    assert alerts(gateway) == []


def test_a_record_that_went_bad_rings_the_bell_once(gateway: Gateway, dns: DnsServer) -> None:
    publish(dns, look(gateway))
    look(gateway)
    dns.txt["example.com"] = ["v=spf1 -all"]
    assert look(gateway).light == "yellow"
    look(gateway)
    assert alerts(gateway) == ["example.com's SPF record is no longer as it should be."]


def test_an_owner_who_vouches_needs_no_proof(gateway: Gateway, dns: DnsServer) -> None:
    with gateway.database.session() as session:
        domains.set_vouched(session, COMMAND_LINE, session.get_one(Domain, 1), vouched=True)
    first = look(gateway)
    assert first.light == "yellow"
    publish(dns, first)
    del dns.txt["_postlatch.example.com"]
    assert look(gateway).light == "green"


def test_a_new_key_takes_over_when_it_is_found_and_the_old_one_is_retired_a_week_later(
    gateway: Gateway, dns: DnsServer
) -> None:
    publish(dns, look(gateway))
    look(gateway)
    with gateway.database.session() as session:
        new = dkim.add(session, gateway.vault, COMMAND_LINE, session.get_one(Domain, 1), "rsa").selector
    waiting = look(gateway)
    assert waiting.light == "green", "the old one still signs"
    publish(dns, waiting)
    found = {one.key.selector: one.key for one in look(gateway).records if one.key}
    assert found[new].signs
    assert [key.replaced_at is not None for key in found.values()] == [True, False]
    with gateway.database.session() as session:
        session.execute(update(DkimKey).where(DkimKey.selector != new).values(replaced_at=utcnow() - dkim.KEPT))
    look(gateway)
    assert [one.key.selector for one in look(gateway).records if one.key] == [new]


def test_only_what_is_due_is_looked_at_and_the_longest_waiting_first(gateway: Gateway, dns: DnsServer) -> None:
    second = make_domain(gateway, "example.net")
    domain_checks.check_due(gateway)
    domain_checks.check_due(gateway)
    asked = dns.asked.total()
    domain_checks.check_due(gateway)
    assert dns.asked.total() == asked
    with gateway.database.session() as session:
        assert {check.domain_id for check in session.scalars(select(DomainCheck))} == {1, second}
        session.execute(update(Domain).where(Domain.id == second).values(checked_at=utcnow() - domain_checks.EVERY))
        assert domain_checks.due(session, utcnow()) == second


def test_a_silent_resolver_is_asked_once_a_domain(make_app: Callable[..., Flask], dns: DnsServer) -> None:
    gateway = gateway_of(make_app(delivery="mx", dns=dns.address))
    make_domain(gateway)
    dns.failing.add("*")
    dns.failing.add("_postlatch.example.com")
    with pytest.raises(LookupFailed):
        domain_checks.check(gateway, 1, COMMAND_LINE)
    assert {name for name, _ in dns.asked} == {"_postlatch.example.com"}
    assert report(gateway).light == "red"


def test_a_return_path_of_its_own_is_optional(make_app: Callable[..., Flask], dns: DnsServer) -> None:
    gateway = gateway_of(make_app(delivery="mx", dns=dns.address, bounce_bind="127.0.0.1:0"))
    make_domain(gateway)
    first = look(gateway)
    alias = first.records[-1].wanted
    assert (alias.title, alias.name, alias.type, alias.value) == ("Return path", "bounces.example.com", "CNAME", MAIL)
    for one in first.records[:-1]:
        dns.txt[one.wanted.name] = [one.wanted.value]
    without = look(gateway)
    assert (without.light, states(without)["Return path"]) == ("green", "missing")
    dns.records[alias.name, "CNAME"] = ["elsewhere.example."]
    assert (look(gateway).light, states(report(gateway))["Return path"]) == ("green", "differs")
    dns.records[alias.name, "CNAME"] = [f"{MAIL}."]
    assert states(look(gateway))["Return path"] == "ok"
    del dns.records[alias.name, "CNAME"]
    look(gateway)
    assert alerts(gateway) == [], "mail leaves from this server's name again, which is no fault"
