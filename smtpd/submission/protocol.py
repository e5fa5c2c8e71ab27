"""One connection of a client that submits mail, with all its commands."""

from __future__ import annotations

from smtpd.submission.authentication import AuthenticationCommands
from smtpd.submission.greeting import GreetingCommands
from smtpd.submission.transaction import TransactionCommands


class SubmissionProtocol(GreetingCommands, AuthenticationCommands, TransactionCommands):
    """A submission server's side of one connection (RFC 6409). It begins when its transport connects."""

    def extensions(self) -> list[str]:
        """What EHLO offers: log-ins inside TLS only."""
        offers = super().extensions()
        return [*offers, "AUTH PLAIN LOGIN"] if self.tls else offers
