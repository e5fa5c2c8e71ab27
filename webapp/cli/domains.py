"""``flask domain``: what mail is sent from, and what the DNS has for it."""

from __future__ import annotations

from typing import Any

import click

from webapp.app import gateway_of
from webapp.cli.answer import Answer, command, session
from webapp.core.services import dkim, domain_checks, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.domain_checks import Record, Report
from webapp.core.services.errors import ServiceError
from webapp.net.resolver import LookupFailed

domain = click.Group("domain", help="Sending domains.")

_WORDS = {"ok": "found", "missing": "missing", "differs": "differs", "unknown": "not known"}


@command(domain, "add", help="Add a sending domain.")
@click.argument("name")
@click.option("--trusted", is_flag=True, help="Vouch for it: DNS checks then only advise.")
def add_domain(name: str, trusted: bool) -> Answer:
    """Add a sending domain."""
    with session() as opened:
        row = domains.add(opened, COMMAND_LINE, name, vouch=trusted)
        dkim.ensure(opened, gateway_of().vault, row)
        data = _told(domain_checks.report(opened, gateway_of(), row))
    return Answer(data, [f"{data['name']} is added ({data['state']})."])


@command(domain, "list", help="List the sending domains, each with its records as they were last found.")
def list_domains() -> Answer:
    """List the sending domains."""
    with session() as opened:
        found = [_told(domain_checks.report(opened, gateway_of(), one)) for one in domains.live(opened)]
    lines = [f"{one['light']:<6}  {one['name']}  {one['state']}" for one in found]
    return Answer({"data": found}, lines or ["No domains yet."])


@command(domain, "check", help="Look the domain's records up in the DNS. Exit code 1: its mail may not leave.")
@click.argument("name")
def check_domain(name: str) -> Answer:
    """Look the domain's records up."""
    with session() as opened:
        domain_id = domains.find(opened, name).id
    try:
        domain_checks.check(gateway_of(), domain_id, COMMAND_LINE)
    except LookupFailed as error:
        raise ServiceError(f"The DNS did not answer, so nothing is known: {error}") from None
    with session() as opened:
        row = domains.find(opened, name)
        report = domain_checks.report(opened, gateway_of(), row)
        data = _told(report)
    head = f"{data['name']} is {data['state']}, its light is {data['light']}."
    return Answer(data, [head, *(line for one in report.records for line in _lines(one))], failed=not row.may_send)


def _told(report: Report) -> dict[str, Any]:
    row = report.domain
    verified, vouched = row.verified_at is not None, row.vouched_at is not None
    records = [
        {
            "key": one.wanted.key,
            "title": one.wanted.title,
            "type": one.wanted.type,
            "name": one.wanted.name,
            "value": one.wanted.value,
            "state": one.found.state,
            "found": list(one.found.texts),
            "problems": list(one.found.problems),
        }
        for one in report.records
    ]
    return {
        "id": row.id,
        "name": row.name,
        "verified": verified,
        "trusted": vouched,
        "state": "verified" if verified else "vouched for" if vouched else "not verified",
        "light": report.light,
        "checked_at": row.checked_at,
        "stops_at": row.lost_at and row.lost_at + domains.GRACE,
        "record": {name: records[0][name] for name in ("type", "name", "value")},
        "found": records[0]["found"],
        "records": records,
    }


def _lines(one: Record) -> list[str]:
    lines = [f"{one.wanted.title:<10}{_WORDS[one.found.state]:<10}{one.wanted.name}"]
    lines += [f"{'':<10}{problem}" for problem in one.found.problems]
    if one.found.state != "ok":
        lines += [f"{'':<10}there:  {text}" for text in one.found.texts]
        lines += [f"{'':<10}wanted: {one.wanted.value}"] if one.wanted.value else []
    return lines
