"""``flask admin``: people who may open the panel."""

from __future__ import annotations

import click

from webapp.app import gateway_of
from webapp.cli.answer import Answer, command, read_password, session
from webapp.core.models import utcnow
from webapp.core.services import admins, locks
from webapp.core.services.audit import COMMAND_LINE

admin = click.Group("admin", help="People who may open the panel.")


@command(admin, "create", help="Add a person. Without a password, a one-time link to choose one is printed.")
@click.argument("email")
@click.option("--role", type=click.Choice(["owner", "manager", "viewer"]), default="owner", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(email: str, role: str, password_stdin: bool) -> Answer:
    """Add a person."""
    password = read_password() if password_stdin else None
    with session() as opened:
        person = admins.create(opened, COMMAND_LINE, email=email, role=role, password=password)
        data = {"id": person.id, "email": person.email, "role": person.role}
        lines = [f"{person.email} can log in as {role}."]
        if password is None:
            data["link"] = _link(admins.new_link(opened, COMMAND_LINE, person))
            lines = [f"{person.email} is {role}. To choose a password, within an hour, once:", str(data["link"])]
    return Answer(data, lines)


@command(admin, "reset", help="Print a one-time link for a new password (1 hour); end that person's sessions.")
@click.argument("email")
def reset(email: str) -> Answer:
    """Make a link, and clear what keeps the person from using it."""
    with session() as opened:
        person = admins.find(opened, email)
        link = _link(admins.new_link(opened, COMMAND_LINE, person))
        cleared = locks.clear(opened, COMMAND_LINE, utcnow(), name=person.email)
    lines = [f"To choose a new password for {person.email}, within an hour, once:", link]
    return Answer({"email": person.email, "link": link, "locks_cleared": cleared}, lines)


def _link(token: str) -> str:
    return f"{gateway_of().settings.base_url}/setup/{token}"
