"""What all commands share: ``--json``, errors on stderr, and passwords from standard input."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from webapp.app import gateway_of
from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.rules.duration import parse_duration
from webapp.core.services.errors import ServiceError


class Answer(NamedTuple):
    """What a command found: for programs, and line by line for people. *failed* gives exit code 1."""

    data: Any
    lines: Sequence[str]
    failed: bool = False


def command(group: click.Group | None = None, name: str | None = None, **options: Any) -> Callable[..., click.Command]:
    """A command that returns an `Answer`; with ``--json`` its data is printed. Errors end it with exit code 1."""

    def decorate(function: Callable[..., Answer]) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
        @with_appcontext
        @functools.wraps(function)
        def run(*, as_json: bool, **arguments: Any) -> None:
            try:
                answer = function(**arguments)
            except ServiceError as error:
                raise click.ClickException(str(error)) from None
            except UNAVAILABLE as error:
                reason = getattr(error, "orig", None) or error
                raise click.ClickException(f"The database can't be used: {reason}") from None
            text = json.dumps(answer.data, default=_plain, ensure_ascii=False) if as_json else "\n".join(answer.lines)
            click.echo(text)
            if answer.failed:
                raise click.exceptions.Exit(1)

        made = click.command(name, cls=click.Command, **options)(run)
        if group is not None:
            group.add_command(made)
        return made

    return decorate


@contextmanager
def session() -> Iterator[Session]:
    """A session on the app's database that commits at the end."""
    with gateway_of().database.session() as opened:
        yield opened


def read_password() -> str:
    """The one line on standard input, without its line end. Raise `ServiceError` when there is more or nothing."""
    text = sys.stdin.read()
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise ServiceError("Standard input must be one line: the password.")
    return password


def expiry(text: str | None) -> datetime | None:
    """The instant that ``90d`` from now is. Raise `ServiceError`."""
    return None if text is None else utcnow() + _duration(text)


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ServiceError(f"--expires {error}") from None


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
