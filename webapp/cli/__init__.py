"""Commands for the machine's own people: ``flask …`` from the project's root. Each is thin over a service."""

from __future__ import annotations

from collections.abc import Sequence

import click
from flask import Flask

from webapp.app import gateway_of
from webapp.cli import credentials, domains, people, trouble
from webapp.worker import Job, run_worker


def register(app: Flask, *, jobs: Sequence[Job]) -> None:
    """Add the commands to *app*; *jobs* are what ``flask worker`` runs."""
    for group in (people.admin, domains.domain, credentials.smtp_user, credentials.api_key, trouble.lockout):
        app.cli.add_command(group)
    for command in (trouble.explain_refusal, trouble.doctor):
        app.cli.add_command(command)

    @app.cli.command("worker", help="Deliver mail, until SIGTERM or Ctrl-C.")
    @click.option("--json", is_flag=True, expose_value=False, help="Taken as by every command: its log is JSON always.")
    def worker() -> None:
        run_worker(gateway_of(app), jobs)
