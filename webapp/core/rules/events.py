"""What a program can be told: the names of events, and which of them a recipient's new status is."""

from __future__ import annotations

from enum import StrEnum

from webapp.core.rules.statuses import Status


class EventName(StrEnum):
    """The events, in the order of a message's life."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    FAILED = "failed"
    CREDENTIAL_LOCKED = "credential_locked"


#: What a message's recipient comes to in the end: all that most programs want to know.
FINAL_EVENTS = (EventName.DELIVERED, EventName.BOUNCED, EventName.FAILED)

#: A recipient that got there is told of. Being captured is no event beyond having been accepted.
OF_STATUS = {
    Status.DELIVERED: EventName.DELIVERED,
    Status.DEFERRED: EventName.DEFERRED,
    Status.BOUNCED: EventName.BOUNCED,
    Status.FAILED: EventName.FAILED,
}
