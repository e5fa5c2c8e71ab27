"""What the Integrations page knows of each platform. The steps themselves are in `panel/integrations/`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Platform:
    """One card; `id` is its part of the page's address.

    `in_cloud`: it calls from addresses that vary, so its key gets a limit and an expiry in place of a lock.
    `lockable`: it may also run at an address of one's own.
    """

    id: str
    name: str
    icon: str
    sends_with: str
    receives_with: str
    in_cloud: bool
    lockable: bool

    @property
    def messages_per_hour(self) -> int | None:
        """The limit that its form proposes."""
        return CLOUD_MESSAGES_PER_HOUR if self.in_cloud else None

    @property
    def lasts(self) -> str:
        """How long, as the form proposes; one of `LASTS`."""
        return "365" if self.in_cloud else "never"


#: Enough for a busy office, and little to a spammer who got hold of the key.
CLOUD_MESSAGES_PER_HOUR = 100
#: How long a key may work, in days, and how the form says it.
LASTS = (("90", "90 days"), ("365", "1 year"), ("730", "2 years"), ("never", "For ever"))

PLATFORMS = {
    one.id: one
    for one in (
        Platform("zapier", "Zapier", "bolt", "Webhooks by Zapier", "Catch Hook", in_cloud=True, lockable=False),
        Platform("make", "Make", "settings", "the HTTP module", "Custom webhook", in_cloud=True, lockable=False),
        Platform("n8n", "n8n", "activity", "the HTTP Request node", "Webhook node", in_cloud=True, lockable=True),
        Platform("http", "Plain HTTP", "code", "one POST", "your own address", in_cloud=False, lockable=True),
    )
}
