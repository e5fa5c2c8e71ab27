"""The states of a recipient, and which of them a message shows."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """Where one recipient's mail is. In the order in which a message shows them: the first that any recipient has."""

    HELD = "held"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    DELIVERING = "delivering"
    DEFERRED = "deferred"
    FAILED = "failed"
    BOUNCED = "bounced"
    CANCELLED = "cancelled"
    CAPTURED = "captured"
    DELIVERED = "delivered"


#: Nothing is left to do.
FINAL = frozenset({Status.FAILED, Status.BOUNCED, Status.CANCELLED, Status.CAPTURED, Status.DELIVERED})


def message_status(statuses: Iterable[str]) -> Status:
    """The status that a message with recipients in *statuses* shows. Raise `ValueError` without any."""
    found = set(statuses)
    for status in Status:
        if status in found:
            return status
    raise ValueError("a message has at least one recipient")
