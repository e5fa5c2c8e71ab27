"""``flask domain``, ``flask smtp-user``, ``flask api-key``: what mail is sent from, and who may send it."""

from __future__ import annotations

import click

from webapp.app import gateway_of
from webapp.cli.answer import Answer, command, expiry, read_password, session
from webapp.core.models import Domain
from webapp.core.services import credentials, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.errors import ServiceError
from webapp.net import resolver

domain = click.Group("domain", help="Sending domains.")
smtp_user = click.Group("smtp-user", help="Usernames and passwords for SMTP.")
api_key = click.Group("api-key", help="Keys for the HTTP API.")


@command(domain, "add", help="Add a sending domain.")
@click.argument("name")
@click.option("--trusted", is_flag=True, help="Vouch for it: DNS checks then only advise.")
def add_domain(name: str, trusted: bool) -> Answer:
    """Add a sending domain."""
    with session() as opened:
        data = _told(domains.add(opened, COMMAND_LINE, name, vouch=trusted))
    return Answer(data, [f"{data['name']} is added ({data['state']})."])


@command(domain, "list", help="List the sending domains.")
def list_domains() -> Answer:
    """List the sending domains."""
    with session() as opened:
        found = [_told(one) for one in domains.live(opened)]
    return Answer({"data": found}, [f"{one['name']}  {one['state']}" for one in found] or ["No domains yet."])


@command(domain, "check", help="Look for the domain's ownership record in the DNS.")
@click.argument("name")
def check_domain(name: str) -> Answer:
    """Look for the domain's ownership record."""
    with session() as opened:
        record_name, record_value = domains.ownership_record(domains.find(opened, name))
    try:
        found = resolver.txt(record_name, gateway_of().settings.dns)
    except resolver.LookupFailed as error:
        raise ServiceError(f"The DNS did not answer, so nothing is known: {error}") from None
    with session() as opened:
        row = domains.find(opened, name)
        domains.note_check(opened, COMMAND_LINE, row, found)
        data = _told(row) | {"record": {"type": "TXT", "name": record_name, "value": record_value}, "found": found}
    if data["verified"]:
        return Answer(data, [f"{data['name']} is verified."])
    lines = [f"{data['name']} is not verified. Publish this TXT record:", f"{record_name}  {record_value}"]
    return Answer(data, [*lines, f"Found instead: {', '.join(found)}" if found else "Nothing was found there."])


@command(smtp_user, "add", help="Add an SMTP user; the password is printed once.")
@click.argument("username")
@click.option("--domain", "domain_name", required=True, help="The sending domain.")
@click.option("--note", default="", help="What it is for.")
@click.option("--allow", multiple=True, help="An address or range it may be used from; may be given several times.")
@click.option("--expires", help="When it stops to work, such as 90d.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
def add_smtp_user(
    *, username: str, domain_name: str, note: str, allow: tuple[str, ...], expires: str | None, password_stdin: bool
) -> Answer:
    """Add an SMTP user."""
    typed = read_password() if password_stdin else None
    with session() as opened:
        row, password = credentials.create_smtp_user(
            opened,
            COMMAND_LINE,
            domain=domains.find(opened, domain_name),
            username=username,
            password=typed,
            note=note,
            allowed="\n".join(allow),
            expires_at=expiry(expires),
        )
        data = {"id": row.id, "username": row.name, "password": password}
    return Answer(data, [f"Username  {data['username']}", f"Password  {password}", "The password is shown only now."])


@command(api_key, "add", help="Add an API key; it is printed once.")
@click.option("--domain", "domain_name", required=True, help="The sending domain.")
@click.option("--note", default="", help="What it is for.")
@click.option("--allow", multiple=True, help="An address or range it may be used from; may be given several times.")
@click.option("--expires", help="When it stops to work, such as 90d.")
def add_api_key(*, domain_name: str, note: str, allow: tuple[str, ...], expires: str | None) -> Answer:
    """Add an API key."""
    with session() as opened:
        row, key = credentials.create_api_key(
            opened,
            COMMAND_LINE,
            domain=domains.find(opened, domain_name),
            note=note,
            allowed="\n".join(allow),
            expires_at=expiry(expires),
        )
        data = {"id": row.id, "key": key}
    return Answer(data, [key, "The key is shown only now."])


def _told(row: Domain) -> dict[str, object]:
    verified, vouched = row.verified_at is not None, row.vouched_at is not None
    state = "verified" if verified else "vouched for" if vouched else "not verified"
    return {"id": row.id, "name": row.name, "verified": verified, "trusted": vouched, "state": state}
