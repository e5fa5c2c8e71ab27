"""``flask smtp-user``, ``flask api-key``: who may send."""

from __future__ import annotations

import click

from webapp.cli.answer import Answer, command, expiry, read_password, session
from webapp.core.services import credentials, domains
from webapp.core.services.audit import COMMAND_LINE

smtp_user = click.Group("smtp-user", help="Usernames and passwords for SMTP.")
api_key = click.Group("api-key", help="Keys for the HTTP API.")


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
